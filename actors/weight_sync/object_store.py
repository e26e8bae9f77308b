"""The generator's end on CPU: vLLM's weight-transfer protocol over arrays in Ray's object store or shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.v1.worker.worker_base import WorkerBase

from actors.weight_sync.buckets import WeightBucket
from actors.weight_sync.in_place import InPlaceLoader
from actors.weight_sync.segments import SegmentMap, SharedBucket

BACKEND = "object_store"


@dataclass
class ObjectStoreInitInfo(WeightTransferInitInfo):
    """Nothing to agree on: the buckets say all."""


@dataclass
class ObjectStoreUpdateInfo(WeightTransferUpdateInfo):
    """A piece of the new weights."""

    bucket: WeightBucket | SharedBucket


class ObjectStoreTransferEngine(WeightTransferEngine[ObjectStoreInitInfo, ObjectStoreUpdateInfo]):
    """Loads buckets into the model, from where they lie."""

    init_info_cls = ObjectStoreInitInfo
    update_info_cls = ObjectStoreUpdateInfo
    missing: set[str]
    """Parameters, in the engine's names, that the last finished update hasn't brought."""

    @cached_property
    def _loader(self) -> InPlaceLoader:
        return InPlaceLoader(self.model)

    @cached_property
    def _segments(self) -> SegmentMap:
        return SegmentMap()

    def init_transfer_engine(self, init_info: ObjectStoreInitInfo) -> None:
        """No connection to open: whoever holds a bucket's reference can read it."""

    def start_weight_update(self) -> None:
        """Expect all weights."""
        self._loader.begin()

    def update_weights(self, update_info: dict[str, object]) -> None:
        """As the base class's, which synchronises with an accelerator in the end: there may be none."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: ObjectStoreUpdateInfo) -> None:
        """Load one bucket."""
        bucket = update_info.bucket
        if isinstance(bucket, SharedBucket):
            bucket = self._segments.bucket(bucket)
        self._loader.load(bucket.parameters())

    def finish_weight_update(self) -> None:
        """Note what hasn't come."""
        self.missing = self._loader.finish()
        self._segments.forget_unused()

    def shutdown(self) -> None:
        """Nothing is held open."""


def register() -> None:
    """Make the backend known to vLLM, in the process that holds the model. Once more does no harm."""
    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND, ObjectStoreTransferEngine)


def missing_parameters(worker: WorkerBase) -> set[str]:
    """What the last update left out, for `collective_rpc`. NCCL's sender checks the same at its own end."""
    engine = worker.weight_transfer_engine
    return engine.missing if isinstance(engine, ObjectStoreTransferEngine) else set()
