"""The authors' stage 1 for a 7B model, as a workload and as a plan."""

from __future__ import annotations

from pathlib import Path

from museg.config.loading import load_config
from museg.planning.gpus import GPUS, Efficiency
from museg.planning.model_shape import MODEL_SHAPES
from museg.planning.operations import VideoGrid
from museg.planning.run_plan import RunPlan, plan_run
from museg.planning.workload import Footage, Workload

CONFIGS = Path(__file__).parents[3] / "configs"
FOOTAGE = Footage(duration_s=16.0, grid=VideoGrid(time=16, height=28, width=32))
"""3,584 visual tokens."""


def stage_1(*overrides: str, completion_tokens: int = 256) -> Workload:
    """The configuration with overrides, videos of 3,584 tokens."""
    return Workload(
        config=load_config(CONFIGS / "stage_1.yaml", overrides),
        model=MODEL_SHAPES["7b"],
        footage=FOOTAGE,
        completion_tokens=completion_tokens,
    )


def plan_of(
    *overrides: str, config: str = "stage_1.yaml", gpu: str = "a100-80", num_gpus: int | None = None, tokens: int = 256
) -> RunPlan:
    """The plan of a shipped configuration for a 7B model."""
    return plan_run(
        load_config(CONFIGS / config, overrides),
        MODEL_SHAPES["7b"],
        GPUS[gpu],
        efficiency=Efficiency(),
        footage=FOOTAGE,
        completion_tokens=tokens,
        num_gpus=num_gpus,
    )
