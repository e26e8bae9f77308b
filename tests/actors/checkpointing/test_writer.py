from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from ray.exceptions import ObjectLostError

from actors.checkpointing.writer import CheckpointWriter
from actors.learning.gang import LearnerGang
from actors.resuming import TrainerState
from museg.config.schema import Config
from museg.errors import CheckpointError
from museg.runs.directory import RunDirectory
from museg.runs.manifest import Records, write_recorded


class Copy:
    """Stands for a `LearnerCopy`: one file, written when `go` is set."""

    def __init__(self, step: int, failure: BaseException | None) -> None:
        self.go = asyncio.Event()
        self._step = step
        self._failure = failure

    async def write(self, checkpoint: Path) -> Records:
        name = "state/rank.pt"
        record = write_recorded(f"after step {self._step}".encode(), checkpoint / name)
        await self.go.wait()
        if self._failure is not None:
            raise self._failure
        return {name: record}


class Gang:
    """Stands for the learner: its present step is what is copied."""

    def __init__(self) -> None:
        self.step = 0
        self.failure: BaseException | None = None
        self.copies: list[Copy] = []

    async def copy(self) -> Copy:
        self.copies.append(Copy(self.step, self.failure))
        return self.copies[-1]


class Run:
    """A run directory, a learner and the writer between them."""

    def __init__(self, path: Path, **checkpoint: Any) -> None:
        self.directory = RunDirectory(path / "run")
        self.directory.create("")
        self.gang, self.said = Gang(), list[str]()
        config = Config()
        for key, value in checkpoint.items():
            setattr(config.checkpoint, key, value)
        self.measured: list[float] = []
        self.writer = CheckpointWriter(
            self.directory, cast(LearnerGang, self.gang), config, self.said.append, measured=[self.measured.append]
        )

    async def after_step(self, step: int, miou: float | None = None, *, wait: bool = True) -> None:
        """A step was done, and is kept."""
        self.gang.step = step
        self.directory.append_metrics({"step": step} | ({} if miou is None else {"eval/miou": miou}))
        await self.writer.begin(TrainerState(step=step))
        if wait:
            self.gang.copies[-1].go.set()
            await self.writer.finished()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    return lambda **checkpoint: Run(tmp_path, **checkpoint)


def test_steps_go_on_while_a_checkpoint_is_written_and_the_next_one_waits(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run()
        await trained.after_step(1, wait=False)
        trained.writer.raise_failure()
        assert trained.directory.checkpoint_steps() == []
        following = asyncio.create_task(trained.after_step(2))
        await asyncio.sleep(0.05)
        assert len(trained.gang.copies) == 1, "a second copy was made beside the first"
        trained.gang.copies[0].go.set()
        await following
        assert trained.directory.checkpoint_steps() == [1, 2]
        kept = trained.directory.checkpoint(1)
        assert (kept / "state" / "rank.pt").read_text() == "after step 1"
        state = json.loads((kept / "trainer.json").read_text())
        assert (state["step"], state["learner_ranks"], state["zero_stage"]) == (1, 1, 3)
        assert trained.directory.checkpoint_store.newest_whole() == (2, [])
        assert len(trained.measured) == 2

    asyncio.run(main())


def test_the_newest_and_the_best_stay(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run(keep=2)
        for step, miou in ((10, 0.2), (20, 0.6), (30, 0.5), (40, None), (50, 0.3)):
            await trained.after_step(step, miou)
        assert trained.directory.checkpoint_steps() == [20, 40, 50]
        best = trained.directory.checkpoints / "best"
        assert best.resolve() == trained.directory.checkpoint(20).resolve()

    asyncio.run(main())


def test_a_full_disk_is_told_after_the_next_step_and_leaves_the_checkpoint_before(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run()
        await trained.after_step(1)
        trained.gang.failure = OSError(errno.ENOSPC, "No space left on device")
        await trained.after_step(2, wait=False)
        trained.gang.copies[-1].go.set()
        await asyncio.sleep(0.1)
        with pytest.raises(CheckpointError, match=r"step 2 can't be written .*: No space left on device; make room"):
            trained.writer.raise_failure()
        assert [path.name for path in trained.directory.checkpoints.iterdir()] == ["step-000001"]

    asyncio.run(main())


def test_storage_that_hangs_is_told_once_its_time_is_over(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run(timeout_s=0.2)
        await trained.after_step(1, wait=False)
        with pytest.raises(CheckpointError, match=r"step 1: .*timeout_s\) took longer than 0\.2 s: .*hangs"):
            await trained.writer.finished()
        assert list(trained.directory.checkpoints.iterdir()) == []

    asyncio.run(main())


def test_a_copy_that_was_lost_with_its_node_is_made_again_after_the_next_step(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run(every_steps=100)
        trained.gang.failure = ObjectLostError("ab" * 28, None, "a driver")
        await trained.after_step(1)
        assert trained.directory.checkpoint_steps() == []
        assert "the checkpoint of step 1 was lost" in trained.said[0]
        trained.gang.failure = None
        assert trained.writer.due(2)
        await trained.after_step(2)
        assert trained.directory.checkpoint_steps() == [2]
        assert not trained.writer.due(3)

    asyncio.run(main())


def test_a_state_that_is_kept_already_is_not_written_again(run: Callable[..., Run]) -> None:
    async def main() -> None:
        trained = run()
        await trained.after_step(1)
        await trained.writer.begin(TrainerState(step=1))
        assert len(trained.gang.copies) == 1
        trained.writer.ask_because("node ab is drained")
        assert trained.writer.due(2)

    asyncio.run(main())
