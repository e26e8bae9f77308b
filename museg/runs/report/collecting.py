"""A run's rollouts, packed step by step: what the timeline viewer looks into."""

from __future__ import annotations

import math
from collections.abc import Sequence

from museg.runs.directory import RunDirectory
from museg.runs.report.rollouts import RecordedSample, read_groups
from museg.runs.report.step_pack import StepPack, pack_step

MAX_COMPLETIONS = 400_000
"""Of a longer run, regularly spaced steps are kept, so that the page stays of a size that browsers open at once."""
MAX_CHARACTERS = 24_000_000
"""Of the completions' texts, shared evenly among the steps."""


class Collector:
    """Reads each rollouts file once, so that a report that is renewed while the run goes stays cheap.

        collector = Collector(run)
        packs = collector.collect(num_planned_steps=400)       # again whenever steps may have come
        collector.samples[packs[-1].samples[0]]                # what the last step's first group was asked

    A step that was done again, by a resumed run, is read again.
    """

    def __init__(self, run: RunDirectory, *, max_completions: int = MAX_COMPLETIONS) -> None:
        self._run = run
        self._max_completions = max_completions
        self._packs: dict[int, tuple[tuple[int, int], StepPack]] = {}
        self._numbers: dict[RecordedSample, int] = {}
        self.stride = 1
        """Of the steps, each so-many-th is kept, besides the first and the last."""

    @property
    def samples(self) -> list[RecordedSample]:
        """All that were drawn in the steps collected, by number."""
        return list(self._numbers)

    def collect(self, num_planned_steps: int | None) -> list[StepPack]:
        """The packs of the steps on record, in order.

        Raises:
            DataError: a rollouts file is damaged.
        """
        recorded = self._run.rollout_steps()
        num_steps = max(len(recorded), num_planned_steps or 0)
        if recorded:
            self.stride = math.ceil(num_steps * self._num_completions(recorded[0]) / self._max_completions) or 1
        steps = _spaced(recorded, self.stride)
        num_characters = MAX_CHARACTERS // max(1, math.ceil(num_steps / self.stride))
        self._packs = {step: self._pack(step, num_characters) for step in steps}
        return [pack for _, pack in self._packs.values()]

    def _pack(self, step: int, num_characters: int) -> tuple[tuple[int, int], StepPack]:
        status = self._run.rollouts_file(step).stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if step in self._packs and self._packs[step][0] == stamp:
            return self._packs[step]
        groups = read_groups(self._run, step)
        return stamp, pack_step(step, groups, self._number, num_characters=num_characters)

    def _number(self, sample: RecordedSample) -> int:
        return self._numbers.setdefault(sample, len(self._numbers))

    def _num_completions(self, step: int) -> int:
        return self._run.rollouts_file(step).read_bytes().count(b"\n")


def _spaced(steps: Sequence[int], stride: int) -> list[int]:
    if stride == 1:
        return list(steps)
    return [step for step in steps if step % stride == 0 or step in (steps[0], steps[-1])]
