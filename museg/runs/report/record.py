"""What a run has left on record so far, read back and typed for the report."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from museg.errors import DataError
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMark:
    """Which steps a phase of the run covers."""

    name: str
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlace:
    """Where the run's videos lie, by `data.video_root` and `data.allow_outside`; see museg/video/paths.py."""

    root: Path
    allow_outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run's configuration, its steps and, once it has stopped, its summary; `None` where nothing is known yet."""

    name: str
    status: str
    """`completed`, `interrupted` or `failed` by its summary; `running` where there is none, or steps after it."""
    error: str | None
    """Why it failed."""
    config_yaml: str
    videos: VideoPlace
    num_planned_steps: int | None
    phases: tuple[PhaseMark, ...]
    """The planned phases, in order; none in a run without phases."""
    metrics: tuple[Mapping[str, float], ...]
    """The numbers of `metrics.jsonl`, one mapping a step, in order of steps."""
    eval_before: Mapping[str, float]
    eval_after: Mapping[str, float]
    reward_first: float | None
    reward_last: float | None
    wall_s: float | None
    """By the summary; while running, the sum of the steps."""
    restarts: int | None
    videos_skipped: Mapping[str, str] | None
    """Video → why it was skipped."""

    @property
    def is_supervised(self) -> bool:
        """Whether it learned from demonstrations, and sampled nothing."""
        return any("sft/loss" in row for row in self.metrics)

    @property
    def num_steps(self) -> int:
        """Steps that have finished."""
        return int(self.metrics[-1]["step"]) if self.metrics else 0


def read_record(run: RunDirectory) -> RunRecord:
    """The record of `run`, finished or not.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
    """
    if not run.config_file.is_file():
        raise DataError(
            f"'{run.path}' isn't a run directory: it has no config.yaml; name a folder like runs/quickstart"
        )
    metrics = _read_metrics(run)
    summary = _read_summary(run)
    before = _numbers(summary.get("eval_before"))
    if metrics and metrics[-1]["step"] > (_number(summary, "steps") or 0):
        # The summary, if any, is of an earlier life of a resumed run.
        summary = {}
    wall_s = _number(summary, "wall_s")
    if wall_s is None and metrics:
        wall_s = sum(row.get("time/step_s", 0.0) for row in metrics)
    restarts, skipped, error = _number(summary, "restarts"), summary.get("videos_skipped"), summary.get("error")
    config_yaml = run.config_file.read_text(encoding="utf-8")
    config = _parsed(run, config_yaml)
    return RunRecord(
        name=run.path.resolve().name,
        status=str(summary.get("status", "running")),
        error=None if error is None else str(error),
        config_yaml=config_yaml,
        videos=VideoPlace(
            root=Path(str(OmegaConf.select(config, "data.video_root") or ".")),
            allow_outside=OmegaConf.select(config, "data.allow_outside") is True,
        ),
        num_planned_steps=_planned_steps(config),
        phases=_phase_marks(config),
        metrics=metrics,
        eval_before=before,
        eval_after=_numbers(summary.get("eval_after")),
        reward_first=_number(summary, "reward_first"),
        reward_last=_number(summary, "reward_last"),
        wall_s=wall_s,
        restarts=_restarts(metrics) if restarts is None else int(restarts),
        videos_skipped={str(k): str(v) for k, v in skipped.items()} if isinstance(skipped, Mapping) else None,
    )


def _read_metrics(run: RunDirectory) -> tuple[Mapping[str, float], ...]:
    rows = [_numbers(row) for row in run.read_metrics()]
    for number, row in enumerate(rows, 1):
        if "step" not in row:
            raise DataError(f"{run.metrics_file}, line {number}: no step; remove the line to go on")
    return tuple(sorted(rows, key=lambda row: row["step"]))


def _restarts(metrics: Sequence[Mapping[str, float]]) -> int | None:
    """Of all roles so far, by the last step; None where the steps don't tell."""
    counts = [value for key, value in metrics[-1].items() if key.startswith("restarts/")] if metrics else []
    return int(sum(counts)) if counts else None


def _read_summary(run: RunDirectory) -> Mapping[str, object]:
    if not run.summary_file.is_file():
        return {}
    try:
        summary = json.loads(run.summary_file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{run.summary_file} isn't JSON ({error}); remove it to report without a summary") from error
    if not isinstance(summary, dict):
        raise DataError(f"{run.summary_file} must hold one JSON object; remove it to report without a summary")
    return summary


def _parsed(run: RunDirectory, config_yaml: str) -> DictConfig:
    try:
        config = OmegaConf.create(config_yaml)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise DataError(f"{run.config_file} isn't YAML ({str(error).splitlines()[0]}); mend it by hand") from error
    if not isinstance(config, DictConfig):
        raise DataError(f"{run.config_file} must hold `section: {{key: value}}` pairs; mend it by hand")
    return config


def _planned_steps(config: DictConfig) -> int | None:
    steps = OmegaConf.select(config, "grpo.steps")
    return steps if isinstance(steps, int) else None


def _phase_marks(config: DictConfig) -> tuple[PhaseMark, ...]:
    phases = [(str(phase.name), int(phase.steps)) for phase in OmegaConf.select(config, "phases") or ()]
    last_steps = itertools.accumulate(steps for _, steps in phases)
    return tuple(
        PhaseMark(name=name, first_step=last - steps + 1, last_step=last)
        for (name, steps), last in zip(phases, last_steps, strict=True)
    )


def _numbers(row: object) -> dict[str, float]:
    """The numeric entries of a JSON object (none, if it isn't one)."""
    items = row.items() if isinstance(row, Mapping) else ()
    return {str(key): float(value) for key, value in items if _is_number(value)}


def _number(row: Mapping[str, object], key: str) -> float | None:
    return _numbers(row).get(key)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
