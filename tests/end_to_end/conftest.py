"""Real runs on real videos: a small data set and a tiny model, made once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from museg.runs.directory import RunDirectory
from museg.synthesis.dataset import synthesize
from museg.synthesis.settings import SplitSettings, SynthesisSettings
from museg.tiny_model.warm_start import WarmStartSettings, warm_start

REPOSITORY = Path(__file__).parents[2]
QUICKSTART = REPOSITORY / "configs" / "quickstart.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A data set, a model and a place for runs."""

    data: Path
    model: Path
    runs: Path

    def overrides(self, name: str, *more: str) -> list[str]:
        """The quickstart's configuration, shortened: three steps of four prompts."""
        return [
            f"run.name={name}",
            f"run.root={self.runs}",
            f"model.path={self.model}",
            f"data.train={self.data / 'train.jsonl'}",
            f"data.eval={self.data / 'eval.jsonl'}",
            f"data.video_root={self.data}",
            "grpo.steps=3",
            "grpo.prompts_per_step=4",
            "eval.every_steps=2",
            "eval.samples=4",
            "checkpoint.every_steps=2",
            *more,
        ]

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.runs / name)

    def summary(self, name: str) -> dict[str, object]:
        summary: dict[str, object] = json.loads(self.run(name).summary_file.read_text())
        return summary


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    root = tmp_path_factory.mktemp("end_to_end")
    settings = SynthesisSettings(
        warm_start=SplitSettings(num_samples=48, min_event_s=7, max_event_s=14),
        train=SplitSettings(num_samples=16, min_event_s=2, max_event_s=6),
        eval=SplitSettings(num_samples=8, min_event_s=2, max_event_s=6),
    )
    data = synthesize(settings, root / "data").root
    # Long enough that some answers earn a reward and others don't: without that, a step moves nothing.
    model = warm_start(WarmStartSettings(steps=60, warmup_steps=5, score_samples=4), data, root / "model").path
    return Workplace(data=data, model=model, runs=root / "runs")


Museg = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def museg() -> Museg:
    """Run the command line in a process of its own: `museg("train", …)`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        return subprocess.run(
            [sys.executable, "-m", "museg", *arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    return run
