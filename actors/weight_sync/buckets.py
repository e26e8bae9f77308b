"""Buckets of weights: what travels from the learner to the generators, a bounded piece of the model at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.dlpack import from_dlpack

_BYTES_PER_VALUE = np.dtype(np.float32).itemsize
_VALUES_PER_LINE = 16
"""Of a cache line."""

NamedParameter = tuple[str, torch.Tensor]
"""A parameter under its Hugging Face name, as `model.named_parameters()` yields it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where in a bucket a parameter lies."""

    name: str
    shape: tuple[int, ...]
    start: int
    """Of its first value, counted in values."""
    row_stride: int
    """Values from one row of a matrix to the next; 1 for all else, which lies dense."""

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """In values, one for each dimension."""
        if len(self.shape) == 2:
            return self.row_stride, 1
        return tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBucket:
    """Whole parameters in Hugging Face names and shapes, as float32 (exact for bfloat16 models too)."""

    values: npt.NDArray[np.float32]
    """All of them in one array, with gaps: matrices first, in rows of an odd number of cache lines."""
    placements: tuple[Placement, ...]

    @property
    def num_bytes(self) -> int:
        """Of the parameters, without gaps."""
        return bytes_of(self.placements)

    def parameters(self) -> Iterator[NamedParameter]:
        """The parameters where they lie, without copying; not to be written to."""
        # Unlike `from_numpy`, this takes the object store's read-only arrays without a warning.
        values = from_dlpack(self.values)
        for placement in self.placements:
            yield placement.name, values.as_strided(placement.shape, placement.strides, placement.start)


def bytes_of(placements: Sequence[Placement]) -> int:
    """Of the placed parameters, without the gaps between them."""
    return sum(placement.num_values for placement in placements) * _BYTES_PER_VALUE


def bucketed(named_parameters: Iterable[NamedParameter], bucket_bytes: int) -> Iterator[list[NamedParameter]]:
    """Cuts the parameters, in their own order, into runs of at most `bucket_bytes` of float32.

    Names and sizes alone decide the cuts, and ZeRO-3 partitions are counted at their full size: every rank
    of a learner cuts at the same places without communication, so it can gather, pack and release run by run:

        for run in bucketed(model.named_parameters(), bucket_bytes):
            with GatheredParameters([parameter for _, parameter in run]):
                yield pack(run)

    Parameters of sibling modules, which an engine may fuse, stay together where they fit into one run. A parameter
    larger than `bucket_bytes` is a run of its own. A repeated tensor (tied weights) is for the caller to leave out, as
    `named_parameters()` does.
    """
    run: list[NamedParameter] = []
    room = bucket_bytes
    for _, siblings in groupby(named_parameters, key=lambda named: named[0].rsplit(".", 2)[0]):
        together = list(siblings)
        pieces = [together] if _num_bytes(together) <= bucket_bytes else [[named] for named in together]
        for piece in pieces:
            if run and _num_bytes(piece) > room:
                yield run
                run, room = [], bucket_bytes
            run += piece
            room -= _num_bytes(piece)
    if run:
        yield run


def pack(run: Sequence[NamedParameter], buffer: torch.Tensor | None = None) -> WeightBucket:
    """Copies the run's current values into a bucket.

    Args:
        run: whole parameters.
        buffer: flat float32 on CPU to put the values in, if there is room for them: such a bucket is good until the
            buffer's next use.
    """
    placements, num_values = placements_of(run)
    if buffer is None or buffer.numel() < num_values:
        buffer = torch.empty(num_values)
    bucket = WeightBucket(values=buffer[:num_values].numpy(), placements=placements)
    sources = dict(run)
    with torch.no_grad():
        for name, place in bucket.parameters():
            place.copy_(sources[name])
    return bucket


def _num_bytes(run: Sequence[NamedParameter]) -> int:
    return sum(full_shape(parameter).numel() for _, parameter in run) * _BYTES_PER_VALUE


def packed_values(run: Sequence[NamedParameter]) -> int:
    """How many values the run's bucket has, gaps among them."""
    return placements_of(run)[1]


def row_stride(num_columns: int) -> int:
    """Values from one row to the next, of a matrix whose rows take an odd number of cache lines."""
    lines = -(-num_columns // _VALUES_PER_LINE)
    return (lines | 1) * _VALUES_PER_LINE


def placements_of(
    run: Sequence[NamedParameter], row_stride: Callable[[int], int] = row_stride
) -> tuple[tuple[Placement, ...], int]:
    """Each parameter's place, and the number of values in all; `row_stride` tells a row's from its columns'.

    Matrices one after the other without a gap between them: those that an engine fuses into one, such as queries, keys
    and values, are one there already. Whoever packs a matrix by columns reads a cache line of each of many rows in
    turn: rows that are a power of two apart would push each other out of the cache.
    """
    placements, start = [], 0
    for name, parameter in sorted(run, key=lambda named: len(full_shape(named[1])) != 2):
        shape = full_shape(parameter)
        stride = row_stride(shape[1]) if len(shape) == 2 else 1
        placements.append(Placement(name=name, shape=tuple(shape), start=start, row_stride=stride))
        start += _whole_lines(shape[0] * stride if len(shape) == 2 else shape.numel())
    return tuple(placements), start


def _whole_lines(num_values: int) -> int:
    return -(-num_values // _VALUES_PER_LINE) * _VALUES_PER_LINE


def full_shape(parameter: torch.Tensor) -> torch.Size:
    """Shape of the whole parameter, also while DeepSpeed ZeRO-3 holds it in parts."""
    # It leaves an empty tensor in place of the parameter and notes its true shape beside it.
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))
