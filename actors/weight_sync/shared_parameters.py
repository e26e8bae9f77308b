"""A learner's parameters in memory that generators of its node read where it lies: nothing is packed or sent."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from actors.weight_sync.buckets import NamedParameter, Placement, placements_of
from actors.weight_sync.segments import MemoryFile, SharedBucket


class SharedParameters:
    """Parameters that have moved, for good, to one segment.

        shared = SharedParameters(list(model.named_parameters()))
        bucket = shared.bucket(run)    # of some of them: as they are whenever it is read

    Readers find it as long as this object lives. Each parameter is a plain tensor with a storage of its own, as before.
    Where somebody gives one other memory (assigns its `data`), that is no longer shared: `hold` tells.
    """

    def __init__(self, parameters: Sequence[NamedParameter]) -> None:
        """Of float32 on CPU, whole: not those that DeepSpeed keeps as parts or views of memory of its own."""
        placements, num_values = placements_of(parameters, row_stride=int)
        self._file = MemoryFile(num_values)
        self._placements = {placement.name: placement for placement in placements}
        with torch.no_grad():
            for name, parameter in parameters:
                place = self._place(self._placements[name])
                parameter.data = place.copy_(parameter)
        self._addresses = _addresses(parameters)

    def bucket(self, run: Sequence[NamedParameter]) -> SharedBucket:
        """Some of the parameters, where they lie."""
        return SharedBucket(segment=self._file.segment, placements=tuple(self._placements[name] for name, _ in run))

    def hold(self, parameters: Sequence[NamedParameter]) -> bool:
        """Whether these are all of the parameters, still in the segment."""
        return _addresses(parameters) == self._addresses

    def _place(self, placement: Placement) -> torch.Tensor:
        # Unlike a view of the whole, it has a storage of its own: what saves parameters saves storages.
        return self._file.values(placement.start, placement.num_values).view(placement.shape)


def _addresses(parameters: Sequence[NamedParameter]) -> dict[str, int]:
    return {name: parameter.data_ptr() for name, parameter in parameters}
