"""The policy's weights on their way out of a rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ray.actor import ActorHandle

from actors.learner.checkpoint import gathered
from actors.learner.export_memory import ExportMemory
from actors.weight_sync.buckets import NamedParameter, WeightBucket, bucketed
from actors.weight_sync.segments import SharedBucket
from actors.weight_sync.shared_parameters import SharedParameters

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine


class WeightExporter:
    """Exports an engine's weights under their Hugging Face names, as often as wanted. All ranks do so together.

        exporter = WeightExporter(rank, bucket_bytes=64 * 1024**2)
        exporter.take(engine, lends_parameters=False)
        for bucket in exporter.buckets(within_node=True): …
        exporter.connect(address, port, generators, timeout_s=60.0)
        num_bytes = exporter.broadcast()

    It may go over to another engine of the same shapes, also when it is connected.
    """

    def __init__(self, rank: int, bucket_bytes: int) -> None:
        self._rank = rank
        self._bucket_bytes = bucket_bytes

    def take(self, engine: DeepSpeedEngine, *, lends_parameters: bool) -> None:
        """Export this engine's weights from now on; others may or may not read them where they lie."""
        self._engine = engine
        self._lends_parameters = lends_parameters
        self._lent: SharedParameters | None = None
        self._memory = ExportMemory()

    def let_go(self) -> None:
        """Hold no engine and no memory until the next is taken."""
        del self._engine, self._lent, self._memory

    def buckets(self, *, within_node: bool) -> Iterator[WeightBucket | SharedBucket]:
        """Yield buckets on rank 0, nothing on the others. Under ZeRO-3 one at a time is whole, on every rank.

        Parameters that are lent are a single bucket: nothing has to be copied before it can be read.
        """
        if within_node and self._lends_parameters:
            if self._rank == 0:
                yield self._lend()
            return
        runs = list(bucketed(self._parameters(), self._bucket_bytes))
        packs = self._memory.packer(runs, within_node=within_node) if self._rank == 0 else None
        for run in runs:
            with gathered(self._engine, run):
                bucket = packs(run) if packs is not None else None
            if bucket is not None:
                yield bucket

    def connect(self, address: str, port: int, generators: Sequence[ActorHandle], timeout_s: float) -> None:
        """Form the NCCL group through which `broadcast` sends. On CUDA, once; not run yet."""
        # Here, because it brings in vLLM, which the other ways of sending don't need.
        from actors.weight_sync.nccl_sender import NcclSender

        self._sender = NcclSender(
            self._rank, self._parameters, lambda run: gathered(self._engine, run), self._bucket_bytes
        )
        self._sender.connect(address, port, generators, timeout_s)

    def broadcast(self) -> int:
        """Send all weights to the connected generators; the bytes of them."""
        return self._sender.send()

    def _lend(self) -> SharedBucket:
        parameters = list(self._parameters())
        if self._lent is None or not self._lent.hold(parameters):
            self._lent = SharedParameters(parameters)
        return self._lent.bucket(parameters)

    def _parameters(self) -> Iterator[NamedParameter]:
        yield from self._engine.module.named_parameters()
