"""Memory that a rank packs its exported weights into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from actors.weight_sync.buckets import NamedParameter, WeightBucket, pack, packed_values
from actors.weight_sync.segments import SegmentRing, SharedBucket

Run = Sequence[NamedParameter]


class ExportMemory:
    """Kept from one export to the next.

    packs = memory.packer(runs, within_node=True)
    bucket = packs(run)
    """

    def __init__(self) -> None:
        # One for all buckets: Ray has copied the last by the time that it asks for the next.
        self._buffer = torch.empty(0)
        # For generators on this node.
        self._segments: SegmentRing | None = None

    def packer(self, runs: Sequence[Run], *, within_node: bool) -> Callable[[Run], WeightBucket | SharedBucket]:
        """What packs any of the runs, into memory that has room for the largest."""
        num_values = max(map(packed_values, runs))
        if within_node:
            if self._segments is None or self._segments.num_values < num_values:
                self._segments = SegmentRing(num_values)
            return self._segments.pack
        if self._buffer.numel() < num_values:
            self._buffer = torch.empty(num_values)
        return partial(pack, buffer=self._buffer)
