"""Buckets within a node: memory that the learner fills and the generators read, mapped once by each."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from actors.weight_sync.buckets import NamedParameter, Placement, WeightBucket, bytes_of, pack

NUM_SEGMENTS = 3
"""As many buckets as are alive at once: see `BucketStream.send`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Memory of a process on this node, as others find it. It goes with the last process that has it mapped."""

    pid: int
    fd: int
    inode: int
    """Tells it from the memory of an earlier process of that number."""
    num_values: int
    """Of float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBucket:
    """A `WeightBucket` whose values lie in a segment.

    They stay until the bucket `NUM_SEGMENTS` later is packed there, or, where they are the learner's own parameters,
    until it steps.
    """

    segment: Segment
    placements: tuple[Placement, ...]

    @property
    def num_bytes(self) -> int:
        """Of the parameters, without gaps."""
        return bytes_of(self.placements)


class MemoryFile:
    """This process's end of a segment: without a name in any file system, so nothing is left of it in the end."""

    def __init__(self, num_values: int) -> None:
        file = os.fdopen(os.memfd_create("museg-weights"), "r+b", buffering=0)
        file.truncate(num_values * 4)
        self._file = file
        self._memory = mmap.mmap(file.fileno(), num_values * 4)
        # Packing reads a matrix by columns: of small pages, each row of it another. Some kernels have no others.
        with suppress(OSError):
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        fd = file.fileno()
        self.segment = Segment(pid=os.getpid(), fd=fd, inode=os.fstat(fd).st_ino, num_values=num_values)

    def values(self, start: int = 0, num_values: int = -1) -> torch.Tensor:
        """Some of its values, by default all, to read and to write; they keep its memory alive."""
        return torch.frombuffer(self._memory, dtype=torch.float32, offset=start * 4, count=num_values)


class SegmentRing:
    """The learner's end: segments that it packs into in turn.

    bucket = ring.pack(run)    # good until `NUM_SEGMENTS` more have been packed
    """

    def __init__(self, num_values: int) -> None:
        """Of segments with room for buckets of so many values each."""
        self.num_values = num_values
        self._turn = 0
        self._files = [MemoryFile(num_values) for _ in range(NUM_SEGMENTS)]
        self._buffers = [file.values() for file in self._files]

    def pack(self, run: Sequence[NamedParameter]) -> SharedBucket:
        """Copy the run's current values into the next segment. Raises ValueError if it hasn't the room."""
        turn, self._turn = self._turn, (self._turn + 1) % NUM_SEGMENTS
        bucket = pack(run, self._buffers[turn])
        if bucket.values.ctypes.data != self._buffers[turn].data_ptr():
            raise ValueError(f"a bucket has {bucket.values.size} values, and a segment room for {self.num_values}")
        return SharedBucket(segment=self._files[turn].segment, placements=bucket.placements)


class SegmentMap:
    """A generator's end: the segments of the learner that it reads from at present."""

    def __init__(self) -> None:
        self._arrays: dict[Segment, npt.NDArray[np.float32]] = {}
        self._used: set[Segment] = set()

    def bucket(self, shared: SharedBucket) -> WeightBucket:
        """The bucket where it lies, not copied."""
        segment = shared.segment
        if segment not in self._arrays:
            self._arrays[segment] = _mapped(segment)
        self._used.add(segment)
        return WeightBucket(values=self._arrays[segment], placements=shared.placements)

    def forget_unused(self) -> None:
        """Let go of what no bucket since the last call was in: another learner's, or of this one before it grew."""
        self._arrays = {segment: self._arrays[segment] for segment in self._used}
        self._used = set()


def _mapped(segment: Segment) -> npt.NDArray[np.float32]:
    with open(f"/proc/{segment.pid}/fd/{segment.fd}", "rb") as file:
        # All pages at once, rather than by a fault each.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        memory = mmap.mmap(file.fileno(), segment.num_values * 4, flags=flags, prot=mmap.PROT_READ)
    return np.frombuffer(memory, dtype=np.float32)
