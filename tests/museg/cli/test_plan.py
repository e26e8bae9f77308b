from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.cli import exit_codes
from museg.cli.main import main
from museg.cli.plan import GPU_NAMES, SHAPE_NAMES
from museg.planning.gpus import GPUS
from museg.planning.model_shape import MODEL_SHAPES, ModelShape
from museg.tiny_model import build_tiny_model

CONFIGS = Path(__file__).parents[3] / "configs"
STAGE_1 = [str(CONFIGS / "stage_1.yaml"), "--model-shape", "7b"]


def test_json_holds_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *STAGE_1, "--price", "2.5", "--video-seconds", "16", "--video-tokens", "3584", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["gpu"], plan["num_gpus"], plan["prompt_tokens"]) == ("A100 80 GB", 8, 3734)
    assert plan["hours"] == pytest.approx(400 * plan["step_s"] / 3600)
    assert plan["cost_usd"] == pytest.approx(plan["hours"] * 8 * 2.5)
    assert plan["completions_per_s"] == pytest.approx(112 / plan["step_s"])
    assert plan["operations_per_group"]["prefill_shared"] == pytest.approx(70e12, rel=0.02)
    assert sum(part["gpu_share"] for part in plan["parts"]) + plan["idle_share"] == pytest.approx(1)
    learner = plan["memory_bytes"]["learner"]
    assert learner.pop("total") == pytest.approx(sum(learner.values()))
    assert plan["warnings"] == []


def test_tables_name_parts_splits_phases_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    two_stages = str(CONFIGS / "two_stages.yaml")
    assert main(["plan", two_stages, "--model-shape", "7b", "--gpus", "4", "--gpu", "h100"]) == 0
    printed = capsys.readouterr().out
    for text in ("decode", "optimizer", "1 + 3", "stage_2", "warning: too few GPUs", "assumed: 40%"):
        assert text in printed


def test_the_shape_comes_from_the_models_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_tiny_model(tmp_path / "tiny", seed=0)
    quickstart = str(CONFIGS / "quickstart.yaml")
    capsys.readouterr()
    assert main(["plan", quickstart, f"model.path={folder}", "--video-seconds", "15", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["parameters"] == ModelShape.from_folder(folder).parameters
    assert plan["num_gpus"] == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (STAGE_1[:1], "has no config.json"),
        ([STAGE_1[0], "grpo.group_size=1"], "grpo.group_size must be at least 2"),
        ([*STAGE_1, "--gpus", "0"], "--gpus must be at least 1 (got 0)"),
        ([*STAGE_1, "--price", "-1"], "--price must be 0 or more (got -1)"),
        ([*STAGE_1, "--mfu", "1.5"], "--mfu must be above 0 and at most 1 (got 1.5)"),
        ([*STAGE_1, "--completion-tokens", "0"], "--completion-tokens must be from 1 to generation.max_tokens"),
        ([*STAGE_1, "--video-seconds", "nan"], "--video-seconds must be above 0 (got nan)"),
        ([*STAGE_1, "--video-tokens", "5"], "--video-tokens must be at least 30"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == exit_codes.USER_ERROR
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_folder_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert main(["plan", STAGE_1[0], f"model.path={tmp_path}"]) == exit_codes.USER_ERROR
    assert "model_type" in capsys.readouterr().err


def test_options_offer_every_gpu_and_shape() -> None:
    assert (set(GPU_NAMES), set(SHAPE_NAMES)) == (set(GPUS), set(MODEL_SHAPES))
