"""What a gang remembers, to be where it was when its ranks are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.faults.seat import Seat
from actors.learning.lasting_step import LastingStep
from actors.learning.snapshots import ComingSnapshot, Footing, LearnerSnapshot
from actors.phase_start import PhaseStart
from actors.waiting import within


class StepMemory:
    """The newest copy of the ranks' state, and the steps that were finished since: at most so many."""

    def __init__(self, seats: Sequence[Seat], snapshot_steps: int | None, timeout_s: float) -> None:
        """`snapshot_steps` is `recovery.snapshot_steps`; None: nothing is kept."""
        self._seats = list(seats)
        self._timeout_s = timeout_s
        self._snapshot_steps = snapshot_steps
        self._coming: ComingSnapshot | None = None
        self.footing = Footing(start=None)
        self.kept: list[LastingStep[Any, Any]] = []
        """Steps since the footing, in order, with what they were learned from."""

    def begin(self, start: PhaseStart | None, *, snapshot: LearnerSnapshot | None = None) -> None:
        """The ranks stand at a phase's start, with that state, or as they are built from its folders."""
        self._stand_on(Footing(start=start, snapshot=snapshot))

    def loaded(self, checkpoint: Path) -> None:
        """The ranks have taken up a checkpoint. It may be removed, so it isn't relied on for long."""
        self._stand_on(Footing(start=self.footing.start, checkpoint=checkpoint))

    def ask_if_due(self) -> None:
        """Have the ranks copy their state, if it is time. Between two steps; never waits."""
        self._coming = None
        if self._snapshot_steps is None:
            return
        if len(self.kept) >= self._snapshot_steps or self.footing.checkpoint is not None:
            self._coming = ComingSnapshot(self._seats)

    async def keep(self, step: LastingStep[Any, Any]) -> None:
        """Remember a step that was finished."""
        if self._snapshot_steps is None:
            return
        if self._coming is not None:
            # Asked for before the step, so it is there.
            self._stand_on(Footing(start=self.footing.start, snapshot=await self._coming.taken()))
        self.kept.append(step)

    async def snapshot(self) -> LearnerSnapshot | None:
        """A copy of the ranks' present state; None where nothing is kept. Raises DeadlineError if a rank hangs."""
        if self._snapshot_steps is None:
            return None
        what = "the copy of the learners' state in memory (learner.timeout_s)"
        return await within(self._timeout_s, what, ComingSnapshot(self._seats).taken())

    async def renew(self) -> LearnerSnapshot | None:
        """The same, between two steps: what was kept before is forgotten."""
        if (taken := await self.snapshot()) is not None:
            self._stand_on(Footing(start=self.footing.start, snapshot=taken))
        return taken

    def lose_coming(self) -> None:
        """The ranks that were asked for a copy are being replaced."""
        self._coming = None

    def _stand_on(self, footing: Footing) -> None:
        self.footing, self._coming = footing, None
        self.kept.clear()
