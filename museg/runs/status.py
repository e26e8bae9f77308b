"""How a run stands, from its directory alone: while it goes, on whichever machine, and after the fact."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from museg.config.loading import read_config
from museg.config.schema import Config
from museg.errors import DataError, UserError
from museg.runs.directory import RunDirectory
from museg.runs.health import HEARTBEAT_S, stalled, troubles
from museg.runs.lock import held_since_unix_s
from museg.runs.summary import read_summary

State = Literal["starting", "running", "completed", "interrupted", "failed", "dead", "unreadable"]
"""`starting`: its workers aren't there yet; `dead`: its driver is gone without a word; `unreadable`: its files aren't
what a run writes."""
Driver = Literal["starting", "alive", "gone", "ended"]
_MISSED_BEATS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One line of `museg status`."""

    name: str
    state: State
    step: int
    """The last one on record."""
    planned_steps: int
    last_step_age_s: float | None
    """None before the first step."""
    reward: float | None
    """Mean of the last step; None of a supervised run."""
    restarts: int
    videos_skipped: int
    driver: Driver
    """`ended`: by itself, with a summary."""
    metrics_address: str | None
    """Of the page for Prometheus, while there is one."""
    troubles: tuple[str, ...]
    """What calls for somebody; none in a healthy run."""


def statuses_below(root: Path) -> list[RunStatus]:
    """The runs in a folder, by name; one whose files are damaged doesn't hide the others.

    Raises:
        DataError: it isn't a folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} isn't a folder of runs: name the one that run.root says, such as runs")
    return [_told_of(RunDirectory(file.parent)) for file in sorted(root.glob("*/config.yaml"))]


def run_status(run: RunDirectory, now_unix_s: float | None = None) -> RunStatus:
    """How a run stands now.

    Raises:
        ConfigError, DataError: its files are damaged.
    """
    now_s = time.time() if now_unix_s is None else now_unix_s
    config = read_config(run.config_file)
    rows = [_numbers(row) for row in run.read_metrics()]
    driver = _driver(run, now_s)
    age_s = _age_s(run, rows, now_s)
    last, state = rows[-1] if rows else {}, _state(run, driver)
    return RunStatus(
        name=run.path.name,
        state=state,
        step=int(last.get("step", 0)),
        planned_steps=config.grpo.steps,
        last_step_age_s=age_s,
        reward=last.get("reward/mean"),
        restarts=int(sum(value for key, value in last.items() if key.startswith("restarts/"))),
        videos_skipped=len({str(row["video"]) for row in run.read_skipped()}),
        driver=driver,
        metrics_address=_metrics_address(run) if driver == "alive" else None,
        troubles=tuple(_troubles(config, rows, state, age_s)),
    )


def _told_of(run: RunDirectory) -> RunStatus:
    try:
        return run_status(run)
    except UserError as error:
        return RunStatus(
            name=run.path.name,
            state="unreadable",
            step=0,
            planned_steps=0,
            last_step_age_s=None,
            reward=None,
            restarts=0,
            videos_skipped=0,
            driver="ended",
            metrics_address=None,
            troubles=(str(error),),
        )


def _troubles(config: Config, rows: Sequence[Mapping[str, float]], state: State, age_s: float | None) -> Iterator[str]:
    if state == "dead":
        yield "driver gone"
    if state == "running" and age_s is not None and stalled(rows, age_s):
        yield "stalled"
    yield from troubles(config, rows)


def _state(run: RunDirectory, driver: Driver) -> State:
    if driver == "alive":
        return "running"
    if driver == "starting":
        return "starting"
    summary = read_summary(run)
    return "dead" if driver == "gone" or summary is None else summary.status


def _driver(run: RunDirectory, now_s: float) -> Driver:
    """`workers.json` is there while a driver goes, and touched; on this machine its process can be looked for, too.

    Before, a driver already holds the directory; what it finds there is of the one before.
    """
    held_since_s = held_since_unix_s(run.path)
    try:
        driver = json.loads(run.workers_file.read_text(encoding="utf-8"))["driver"]
        beat_s = run.workers_file.stat().st_mtime
    except FileNotFoundError:
        return "ended" if held_since_s is None else "starting"
    except (ValueError, KeyError) as error:
        raise DataError(f"{run.workers_file} isn't what a run writes; remove it if the run is over") from error
    if held_since_s is not None and held_since_s > beat_s:
        return "starting"
    if driver.get("host") == socket.gethostname() and not _is_process(int(driver["pid"])):
        return "gone"
    return "alive" if now_s - beat_s < _MISSED_BEATS * HEARTBEAT_S else "gone"


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _age_s(run: RunDirectory, rows: Sequence[Mapping[str, float]], now_s: float) -> float | None:
    if not rows:
        return None
    # A run of an earlier version doesn't say when its steps were.
    return max(0.0, now_s - rows[-1].get("time/unix_s", run.metrics_file.stat().st_mtime))


def _metrics_address(run: RunDirectory) -> str | None:
    file = run.targets_files[0]
    try:
        address: str = json.loads(file.read_text(encoding="utf-8"))[0]["targets"][0]
    except (OSError, ValueError, LookupError):
        return None
    return address


def _numbers(row: Mapping[str, object]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
