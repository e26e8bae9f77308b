"""The learner's end of the NCCL broadcast. Not run yet, see `nccl.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import ray
import torch
from ray.actor import ActorHandle
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine

from actors.weight_sync.buckets import NamedParameter, bucketed, full_shape

Parameters = Callable[[], Iterator[NamedParameter]]
"""The model's parameters by name, as they are now."""
Gather = Callable[[Sequence[NamedParameter]], AbstractContextManager[None]]
"""A context in which the given parameters are whole on every rank."""


class NcclSender:
    """Sends a model's parameters to all generators. Every rank of the learner holds one and calls it alike.

    `parameters` is asked at every sending, so it may go over to another model of the same shapes.

    sender = NcclSender(rank, parameters, gather, bucket_bytes)
    sender.connect(address, port, generators, timeout_s)
    num_bytes = sender.send()
    """

    def __init__(self, rank: int, parameters: Parameters, gather: Gather, bucket_bytes: int) -> None:
        self._rank = rank
        self._source = _GatheredParameters(parameters, gather, bucket_bytes)
        self._bucket_bytes = bucket_bytes

    def connect(self, address: str, port: int, generators: Sequence[ActorHandle], timeout_s: float) -> None:
        """Join the NCCL group as its rank 0, if this is the learner's, and have all generators join."""
        num_ranks = ray.get([generator.num_engine_ranks.remote() for generator in generators], timeout=timeout_s)
        self._engine = NCCLTrainerWeightTransferEngine.trainer_init(
            NCCLTrainerInitInfo(
                master_address=address,
                master_port=port,
                world_size=1 + sum(num_ranks),
                packed_buffer_size_bytes=self._bucket_bytes,
                rank=self._rank,
            ),
            client=_GeneratorClient(generators, num_ranks, timeout_s),
            source=self._source,
        )

    def send(self) -> int:
        """Gather and broadcast bucket by bucket; the bytes of all weights."""
        self._engine.send_weights()
        return sum(torch.Size(meta.shape).numel() * meta.dtype.itemsize for meta in self._source.metadata())


class _GatheredParameters(WeightSource):
    """The model's parameters as vLLM's sender takes them, gathered a bucket at a time."""

    def __init__(self, parameters: Parameters, gather: Gather, bucket_bytes: int) -> None:
        self._parameters = parameters
        self._gather = gather
        self._bucket_bytes = bucket_bytes

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(name, value.dtype, tuple(full_shape(value))) for name, value in self._parameters()]

    def __iter__(self) -> Iterator[NamedParameter]:
        for run in bucketed(self._parameters(), self._bucket_bytes):
            with self._gather(run):
                # A detached alias keeps the whole values when the sender still packs them after the context has closed.
                yield from [(name, value.detach()) for name, value in run]


class _GeneratorClient:
    """What vLLM's sender asks of the receiving side, passed on to the generation workers."""

    def __init__(self, generators: Sequence[ActorHandle], num_ranks: Sequence[int], timeout_s: float) -> None:
        self._generators = generators
        self._num_ranks = num_ranks
        self._timeout_s = timeout_s

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        """Give each generator's engine ranks their own places in the group, after the sender's."""
        offset, calls = int(init_info["rank_offset"]), []
        for generator, num_ranks in zip(self._generators, self._num_ranks, strict=True):
            calls.append(generator.init_weight_transfer.remote({**init_info, "rank_offset": offset}))
            offset += num_ranks
        ray.get(calls, timeout=self._timeout_s)

    def start_weight_update(self) -> None:
        """The publisher has begun the update on all generators."""

    def update_weights(self, update_info: Mapping[str, Any]) -> None:
        """Have all generators take part in the broadcast."""
        calls = [generator.receive_weights.remote(update_info) for generator in self._generators]
        ray.get(calls, timeout=self._timeout_s)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """The publisher finishes the update: it knows the version."""
