from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from rich.console import Console

from actors.ending import already_complete
from actors.resuming import StartingPoint, TrainerState
from museg.config.schema import Config, GRPOConfig
from museg.runs.directory import RunDirectory


def test_a_run_that_goes_on_does_not_ask_its_torn_summary(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "first")
    run.create("")
    run.summary_file.write_text('{"status": "compl')
    start = cast(StartingPoint, SimpleNamespace(state=TrainerState(step=3)))
    assert already_complete(Config(grpo=GRPOConfig(steps=4)), run, start, Console(quiet=True)) is None
