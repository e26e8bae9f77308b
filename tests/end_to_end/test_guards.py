from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from tests.end_to_end.conftest import QUICKSTART, Museg, Workplace

REWARD = """
import math
from pathlib import Path

def segments(answer, sample, clip):
    return math.nan if Path(__file__).with_name("broken").exists() else float(len(answer.segments))
"""


@pytest.mark.slow
def test_steps_whose_numbers_go_wrong_change_nothing_and_end_the_run_in_one_line_after_too_many(
    museg: Museg, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guarded_reward.py").write_text(REWARD)
    (tmp_path / "broken").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    short = ["grpo.steps=4", "grpo.prompts_per_step=2", "data.eval=null", "guards.max_bad_steps=1"]
    overrides = workplace.overrides("bad", *short, "reward.functions=[format,guarded_reward:segments]")
    done, run = museg("train", str(QUICKSTART), *overrides), workplace.run("bad")
    assert done.returncode == 2
    assert "step 2: a loss or logprob isn't finite, in 2 steps in a row" in done.stderr.splitlines()[-1]
    assert workplace.summary("bad")["status"] == "failed"
    assert [row["guards/bad_steps"] for row in run.read_metrics()] == [1, 2]
    assert run.rollout_steps() == []
    rows = [json.loads(line) for line in run.bad_step_file(1).read_text().splitlines()]
    assert {row["idx"] for row in rows}
    assert all(row["rewards"]["segments"] == "nan" and row["loss"] == "nan" and row["prompt"] for row in rows)
    assert run.checkpoint_steps() == [2]
    weights, start = (
        Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).state_dict()
        for folder in (run.checkpoint(2) / "hf", workplace.model)
    )
    assert weights.keys() == start.keys()
    assert all(torch.equal(value, start[name]) for name, value in weights.items())

    (tmp_path / "broken").unlink()
    again = museg("train", str(QUICKSTART), *overrides, "guards.max_logprob_gap=1e-12")
    assert again.returncode == 2
    assert "step 3: generator and learner don't compute the same policy" in again.stderr.splitlines()[-1]
    assert run.checkpoint_steps() == [2]
    last = run.read_metrics()[-1]
    assert (last["step"], last["weights_version"], last["guards/bad_steps"]) == (3, 2, 3)
    assert 1e-12 < float(str(last["parity/logprob_gap_mean"])) < 1e-4
