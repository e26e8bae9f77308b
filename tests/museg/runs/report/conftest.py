from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from museg.runs.directory import RunDirectory

CONFIG = "run:\n  name: tiny\ngrpo:\n  steps: 3\n"
MakeRow = Callable[..., dict[str, object]]


@pytest.fixture
def new_run(tmp_path: Path) -> RunDirectory:
    """A run that has only just begun."""
    run = RunDirectory(tmp_path / "tiny")
    run.create(CONFIG)
    return run


@pytest.fixture
def make_row() -> MakeRow:
    """One line of a rollouts file; its defaults are a right answer to a 20 s video."""

    def row(**changes: object) -> dict[str, object]:
        return {
            "step": 1,
            "idx": 4,
            "index": 0,
            "video": "street.mp4",
            "problem": "When does the cyclist pass?",
            "task": "tvg",
            "solution": [[5.0, 10.0]],
            "duration": 20.0,
            "completion": "<think>from 5.0 to 10.0</think><answer>5.0-10.0</answer>",
            "token_ids": [1, 2],
            "rewards": {"format": 1.0, "segment_matching": 2.0},
            "reward": 3.0,
            "advantage": 0.5,
            "logprob_gap_mean": 1e-7,
            "logprob_gap_max": 2e-6,
            "finish_reason": "stop",
            "num_tokens": 12,
            "weights_version": 0,
        } | changes

    return row


@pytest.fixture
def finished_run(new_run: RunDirectory, make_row: MakeRow) -> RunDirectory:
    """Three steps of one group each, evaluated before, after step 2 and at the end."""
    for step in (1, 2, 3):
        metrics: dict[str, object] = {
            "step": step,
            "reward/mean": step / 2,
            "reward/std": 0.25,
            "reward/format": 1.0,
            "parity/logprob_gap_mean": 1e-6 * step,
            "parity/logprob_gap_max": 0.0,
            "time/generate_s": 2.0,
            "time/learn_s": 3.0,
            "time/step_s": 5.0,
        }
        if step == 2:
            metrics |= {"eval/miou": 0.5, "eval/blind/miou": 0.25}
        new_run.append_metrics(metrics)
        new_run.write_rollouts(step, [make_row(step=step, index=index) for index in (0, 1)])
    new_run.write_summary(
        {
            "status": "completed",
            "steps": 3,
            "eval_before": {"miou": 0.42, "recall@0.5": 0.3, "blind/miou": 0.2},
            "eval_after": {"miou": 0.77, "recall@0.5": 0.25, "blind/miou": 0.3},
            "reward_first": 0.5,
            "reward_last": 1.5,
            "wall_s": 3723.4,
            "restarts": 1,
            "videos_skipped": {"gone.mp4": "no such file"},
            "error": None,
        }
    )
    return new_run
