"""A run whose workers are ready, until its loop ends: what is told of it meanwhile, and what a failure leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from rich.console import Console

from actors.checkpointing.writer import CheckpointWriter
from actors.draining import watched_for_draining
from actors.ending import Outcome, Trained, sum_up
from actors.faults.heartbeat import watched_for_hangs
from actors.faults.own_node import while_node_lives
from actors.faults.roster import Roster
from actors.faults.seat import Seat
from actors.progress import ProgressDisplay
from actors.resuming import TrainerState
from actors.stopping import StopSignal, unless_disk_is_full
from actors.telemetry.telemetry import begin_logs
from museg.config.schema import Config
from museg.errors import FaultError, StateLostError


class Training(Trained, Protocol):
    """What either trainer knows of a run that goes."""

    @property
    def config(self) -> Config: ...

    @property
    def start(self) -> TrainerState: ...

    @property
    def checkpoints(self) -> CheckpointWriter: ...

    @property
    def progress(self) -> ProgressDisplay: ...

    @property
    def stop(self) -> StopSignal: ...

    def close(self) -> None:
        """Give up what is being sampled and decoded ahead."""


class Staff(Protocol):
    """The actors of either kind of run."""

    @property
    def seats(self) -> Sequence[Seat]: ...

    async def release(self, nodes: Collection[str]) -> None:
        """Do without whom these nodes hold, as far as the run needs none of them."""

    def close(self) -> None:
        """Give up what is being replaced, or may yet join."""


@asynccontextmanager
async def under_way(trainer: Training, workers: Staff, console: Console) -> AsyncIterator[None]:
    """Inside, the run goes: its workers are on record and watched, its logs begun after the step that it goes on from.

    An error that ends it is summed up as `failed` before it is passed on.

    Raises:
        FaultError: state was lost while the run was stopping, so nobody wants it to begin again.
    """
    run, config, say = trainer.run, trainer.config, trainer.progress.say
    run.forget_after(trainer.start.step)
    roster = Roster(run.workers_file)
    await roster.follow(workers.seats)
    try:
        begin_logs(trainer.telemetry, config, run, trainer.start.step, say)
        async with (
            while_node_lives(),
            watched_for_draining(workers.seats, trainer.checkpoints.ask_because, workers.release),
            watched_for_hangs(workers.seats, config.recovery.heartbeat_s, say),
        ):
            yield
    except Exception as error:
        await trainer.checkpoints.settle()
        with unless_disk_is_full(say):
            sum_up(trainer, Outcome.failed(run, error), console)
        if isinstance(error, StateLostError) and trainer.stop.requested:
            raise FaultError(f"{error}: submit again, and the run goes on after its newest checkpoint") from error
        raise
    finally:
        trainer.close()
        workers.close()
        roster.close()
