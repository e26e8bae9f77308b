"""Checkpoints written while the next steps run."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from ray.exceptions import RayError, RayTaskError

from actors.faults.own_node import while_node_lives
from actors.learning.gang import LearnerGang
from actors.learning.snapshots import LearnerCopy
from actors.resuming import TrainerState
from actors.waiting import DeadlineError, within
from museg.config.schema import Config
from museg.errors import CheckpointError, FaultError
from museg.runs.checkpoints import best_step
from museg.runs.directory import RunDirectory


class CheckpointWriter:
    """One checkpoint at a time: its content is copied between two steps, and written while others run.

        await checkpoints.begin(state, pinned=(…))     # returns once the copy is there
        ...                                            # steps
        checkpoints.raise_failure()                    # after each
        await checkpoints.finished()                   # before weights are read from disk, and at the end

    Raises:
        CheckpointError: by the three of them, if a checkpoint couldn't be written.
    """

    def __init__(
        self,
        run: RunDirectory,
        learner: LearnerGang,
        config: Config,
        say: Callable[[str], None],
        *,
        step: int = 0,
        measured: Sequence[Callable[[float], None]] = (),
    ) -> None:
        """`step`: the state of which the run goes on from; all of `measured` are told a checkpoint's seconds."""
        self._run = run
        self._learner = learner
        self._config = config
        self._say = say
        self._measured = measured
        self._step = step
        """That was kept last."""
        self._owed = False
        self._writing: asyncio.Task[None] | None = None

    async def begin(self, state: TrainerState, *, pinned: Collection[int] = ()) -> None:
        """Copy the learner's present state, and have `checkpoints/step-NNNNNN` written whole or not at all.

        Nothing is done where that step is the one that was kept last, or no step was done yet.

        Then the oldest go, but for those of the steps in `pinned` and the best one.
        """
        await self.finished()
        if state.step == 0 or (state.step == self._step and not self._owed):
            return
        started = time.perf_counter()
        copy = await self._learner.copy()
        self._step, self._owed = state.step, False
        learner = self._config.learner
        state = replace(state, learner_ranks=learner.ranks, zero_stage=learner.zero_stage)
        self._writing = asyncio.create_task(self._write(copy, state, pinned, started))

    def due(self, step: int) -> bool:
        """Whether one is to be begun after the step: it is time, or somebody has asked for it."""
        return self._owed or step % self._config.checkpoint.every_steps == 0

    def ask_because(self, reason: str) -> None:
        """Have one written after the present step, and tell the user why."""
        self._say(f"{reason}: a checkpoint is written after this step")
        self._owed = True

    def raise_failure(self) -> None:
        """Raise what the last one has failed from, if it has."""
        if self._writing is not None and self._writing.done():
            writing, self._writing = self._writing, None
            writing.result()

    async def finished(self) -> None:
        """Wait for the one that is being written."""
        if self._writing is not None:
            # It goes on when who waits is cancelled.
            await asyncio.wait([self._writing])
        self.raise_failure()

    async def settle(self) -> None:
        """The same, where something else has failed already: what it has failed from is only told.

        Where Ray has ended, nobody writes it to its end.
        """
        try:
            async with while_node_lives():
                await self.finished()
        except (CheckpointError, FaultError) as error:
            self._say(f"warning: {error}")

    async def _write(self, copy: LearnerCopy, state: TrainerState, pinned: Collection[int], started: float) -> None:
        store, timeout_s = self._run.checkpoint_store, self._config.checkpoint.timeout_s
        try:
            folder = await asyncio.to_thread(store.begin, state.step)
            written = await within(timeout_s, "writing it (checkpoint.timeout_s)", copy.write(folder))
            state.write(folder)
            await asyncio.to_thread(store.commit, state.step, written)
            await asyncio.to_thread(self._tidy, state.step, pinned)
        except (OSError, RayError, DeadlineError) as error:
            await asyncio.to_thread(store.give_up, state.step)
            self._explain(error, state.step)
        for measured in self._measured:
            measured(time.perf_counter() - started)

    def _explain(self, error: Exception, step: int) -> None:
        """Raise CheckpointError where the disk is to blame; a copy that was lost with its node is written again."""
        if isinstance(error, DeadlineError):
            raise CheckpointError(
                f"the checkpoint of step {step}: {error}: {self._run.checkpoints} hangs or is slow; mend that, or "
                "raise the limit, and submit again: the run goes on after its last whole checkpoint"
            ) from error
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(error, RayTaskError) and not isinstance(cause, OSError):
            raise error
        if not isinstance(cause, OSError):
            self._owed = True
            self._say(
                f"warning: the checkpoint of step {step} was lost, another follows: {' '.join(str(cause).split())}"
            )
            return
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "make room (checkpoint.keep says how many stay)" if full else "mend the disk"
        raise CheckpointError(
            f"the checkpoint of step {step} can't be written below {self._run.checkpoints}: {cause.strerror or cause}; "
            f"{mend} and submit again: the run goes on after its last whole checkpoint"
        ) from error

    def _tidy(self, step: int, pinned: Collection[int]) -> None:
        store, key = self._run.checkpoint_store, self._config.checkpoint.best
        best = best_step(self._run.read_metrics(), key, store.steps()) if key else None
        if best is not None:
            store.mark_best(best)
        store.prune(self._config.checkpoint.keep, newest=step, pinned=pinned, best=best)
