from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from actors.faults.budget import RestartBudget
from actors.resuming import TrainerState
from actors.telemetry.telemetry import Telemetry
from actors.under_way import Staff, Training, under_way
from museg.config.loading import dump_config
from museg.config.schema import Config
from museg.errors import FaultError, StateLostError
from museg.runs.directory import RunDirectory


async def settle() -> None:
    return None


def training(run: RunDirectory, *, stopping: bool) -> Training:
    parts = SimpleNamespace(
        run=run,
        config=Config(),
        start=TrainerState(),
        checkpoints=SimpleNamespace(ask_because=print, settle=settle),
        progress=SimpleNamespace(say=print),
        stop=SimpleNamespace(requested=stopping),
        telemetry=Telemetry(),
        prompts=SimpleNamespace(videos_skipped={}),
        budget=RestartBudget(),
        wall_s=lambda: 1.0,
        close=lambda: None,
    )
    return cast(Training, parts)


async def lose_state(trainer: Training) -> None:
    workers = cast(Staff, SimpleNamespace(seats=[], release=settle, close=lambda: None))
    async with under_way(trainer, workers, Console(quiet=True)):
        assert trainer.run.workers_file.exists()
        raise StateLostError("the copy was lost with its node")


@pytest.mark.parametrize("stopping", [False, True])
def test_a_run_that_loses_its_state_begins_again_unless_it_was_stopping(
    local_ray: None, tmp_path: Path, stopping: bool
) -> None:
    run = RunDirectory(tmp_path / "first")
    run.create(dump_config(Config()))
    with pytest.raises(FaultError, match="lost with its node") as raised:
        asyncio.run(lose_state(training(run, stopping=stopping)))
    assert isinstance(raised.value, StateLostError) is not stopping
    assert json.loads(run.summary_file.read_text())["status"] == "failed"
    assert not run.workers_file.exists()
