"""What the disturbed runs read: sixteen synthetic videos and an untrained tiny model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from museg.runs.directory import RunDirectory
from museg.synthesis.dataset import synthesize
from museg.synthesis.settings import SplitSettings, SynthesisSettings
from museg.tiny_model import build_tiny_model

CONFIG = Path(__file__).with_name("run.yaml")
NUM_SAMPLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Inputs of runs and the folder that they lie in."""

    data: Path
    model: Path
    runs: Path

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.runs / name)

    def command(self, name: str, *overrides: str) -> list[str]:
        """Arguments of `museg` for the run of that name."""
        where = {
            "run.name": name,
            "run.root": self.runs,
            "model.path": self.model,
            "data.train": self.data / "train.jsonl",
            "data.video_root": self.data,
        }
        return ["train", str(CONFIG), *(f"{key}={value}" for key, value in where.items()), *overrides]


def prepare(root: Path) -> Material:
    """Make what isn't there yet."""
    few = SplitSettings(num_samples=1, min_event_s=2, max_event_s=6)
    train = SplitSettings(num_samples=NUM_SAMPLES, min_event_s=2, max_event_s=6)
    data = synthesize(SynthesisSettings(warm_start=few, eval=few, train=train), root / "data").root
    model = root / "model"
    if not model.exists():
        build_tiny_model(model, seed=0)
    return Material(data=data, model=model, runs=root / "runs")
