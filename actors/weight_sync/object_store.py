"""The generator's end on CPU: vLLM's weight-transfer protocol over arrays that lie in Ray's object store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.dlpack import from_dlpack
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.v1.worker.worker_base import WorkerBase

BACKEND = "object_store"


@dataclass
class ObjectStoreInitInfo(WeightTransferInitInfo):
    """Nothing to agree on: the buckets say all."""


@dataclass
class ObjectStoreUpdateInfo(WeightTransferUpdateInfo):
    """A `WeightBucket`'s contents."""

    names: Sequence[str]
    arrays: Sequence[npt.NDArray[np.float32]]


class ObjectStoreTransferEngine(WeightTransferEngine[ObjectStoreInitInfo, ObjectStoreUpdateInfo]):
    """Loads buckets into the model, layer by layer.

    Arrays are read where they lie, and kept until all of their layer's have come.
    """

    init_info_cls = ObjectStoreInitInfo
    update_info_cls = ObjectStoreUpdateInfo
    missing: set[str]
    """Parameters, in the engine's names, of which the update has brought nothing."""

    def init_transfer_engine(self, init_info: ObjectStoreInitInfo) -> None:
        """No connection to open: whoever holds a bucket's reference can read it."""

    def start_weight_update(self) -> None:
        """Set the layers up to be loaded anew, each as soon as all its weights are there."""
        self.missing = {name for name, _ in self.model.named_parameters()}
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, object]) -> None:
        """As the base class's, which synchronises with an accelerator in the end: there may be none."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: ObjectStoreUpdateInfo) -> None:
        """Load one bucket, in Hugging Face names and shapes."""
        # Unlike `from_numpy`, this takes the store's read-only arrays without a warning.
        tensors = map(from_dlpack, update_info.arrays)
        self.missing -= self.model.load_weights(zip(update_info.names, tensors, strict=True))

    def finish_weight_update(self) -> None:
        """Put the new layers in place of the old ones."""
        finalize_layerwise_reload(self.model, self.model_config)
        for module in self.model.modules():
            if isinstance(module, ParallelLMHead):
                # On CPU a head tied to the embeddings has a packed copy of them that the reload doesn't renew.
                module.quant_method.process_weights_after_loading(module)

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
