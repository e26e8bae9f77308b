from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from actors.lives import until_it_ends
from museg.config.schema import Config, RecoveryConfig
from museg.errors import FaultError, StateLostError
from museg.runs.directory import RunDirectory
from museg.runs.summary import Summary

ENDED = cast(Summary, object())


class Lives:
    """Of a run that loses its learner's node so many times; `resumed` has each life's `resume`."""

    def __init__(self, losses: int, run: RunDirectory, then: Callable[[], None] = lambda: None) -> None:
        self.losses, self.run, self.then = losses, run, then
        self.resumed: list[str] = []
        self.said = io.StringIO()

    def live(self, config: Config) -> Summary:
        self.resumed.append(config.resume)
        if len(self.resumed) <= self.losses:
            self.then()
            raise StateLostError("the copy was lost with its node")
        return ENDED

    def end(self, resume: str = "auto", max_restarts: int = 3) -> Summary:
        config = Config(resume=resume, recovery=RecoveryConfig(max_restarts=max_restarts))
        return until_it_ends(config, self.run, self.live, Console(file=self.said))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "first")


def test_a_run_begins_again_after_each_loss_and_says_so(run: RunDirectory) -> None:
    lives = Lives(2, run)
    assert lives.end() is ENDED
    assert lives.resumed == ["auto"] * 3
    assert (
        lives.said.getvalue()
        == "the copy was lost with its node: the run begins again after its newest checkpoint\n" * 2
    )


def test_too_many_losses_are_a_fault_that_tells_what_to_do(run: RunDirectory) -> None:
    lives = Lives(9, run)
    with pytest.raises(
        FaultError, match=r"lost with its node, more often than recovery\.max_restarts=1 allows; submit again"
    ):
        lives.end(max_restarts=1)
    assert len(lives.resumed) == 2


def test_a_run_that_was_to_be_a_new_one_goes_on_as_the_one_that_it_is(run: RunDirectory) -> None:
    lives = Lives(1, run)
    lives.end(resume="never")
    assert lives.resumed == ["never", "auto"]


def test_another_runs_checkpoint_is_where_it_begins_again_until_it_has_one_of_its_own(run: RunDirectory) -> None:
    before = Lives(1, run)
    before.end(resume="runs/other/checkpoints/step-000100")
    assert before.resumed == ["runs/other/checkpoints/step-000100"] * 2

    after = Lives(1, run, then=lambda: run.checkpoint(2).mkdir(parents=True))
    after.end(resume="runs/other/checkpoints/step-000100")
    assert after.resumed[1] == "auto"
