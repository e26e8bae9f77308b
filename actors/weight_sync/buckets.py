"""Buckets of weights: what travels from the learner to the generators, a bounded piece of the model at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

_BYTES_PER_VALUE = np.dtype(np.float32).itemsize

NamedParameter = tuple[str, torch.Tensor]
"""A parameter under its Hugging Face name, as `model.named_parameters()` yields it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBucket:
    """Whole parameters in Hugging Face names and shapes, as float32 (exact for bfloat16 models too)."""

    names: tuple[str, ...]
    arrays: tuple[npt.NDArray[np.float32], ...]

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


def bucketed(named_parameters: Iterable[NamedParameter], bucket_bytes: int) -> Iterator[list[NamedParameter]]:
    """Cuts the parameters, in their own order, into runs of at most `bucket_bytes` of float32.

    Names and sizes alone decide the cuts, and ZeRO-3 partitions are counted at their full size: every rank
    of a learner cuts at the same places without communication, so it can gather, pack and release run by run:

        for run in bucketed(model.named_parameters(), bucket_bytes):
            with GatheredParameters([parameter for _, parameter in run]):
                yield pack(run)

    A parameter larger than `bucket_bytes` is a run of its own. A repeated tensor (tied weights) is for the
    caller to leave out, as `named_parameters()` does.
    """
    run: list[NamedParameter] = []
    run_bytes = 0
    for name, parameter in named_parameters:
        num_bytes = full_shape(parameter).numel() * _BYTES_PER_VALUE
        if run and run_bytes + num_bytes > bucket_bytes:
            yield run
            run, run_bytes = [], 0
        run.append((name, parameter))
        run_bytes += num_bytes
    if run:
        yield run


def pack(run: Sequence[NamedParameter]) -> WeightBucket:
    """The run's current values. Float32 parameters on CPU aren't copied: send the bucket before they change."""
    return WeightBucket(
        names=tuple(name for name, _ in run),
        arrays=tuple(tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy() for _, tensor in run),
    )


def full_shape(parameter: torch.Tensor) -> torch.Size:
    """Shape of the whole parameter, also while DeepSpeed ZeRO-3 holds it in parts."""
    # It leaves an empty tensor in place of the parameter and notes its true shape beside it.
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))
