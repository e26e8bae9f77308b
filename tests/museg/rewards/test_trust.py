"""What a row or a completion says never chooses or becomes code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from museg.config.schema import Config
from museg.data.samples import read_samples
from museg.rewards.scoring import Scorer
from museg.scoring.completion_rows import read_completion_row

NAMING = {
    "reward": "trap:reward",
    "reward.functions": ["trap:reward"],
    "functions": ["trap:reward"],
    "config": {"reward": {"functions": ["trap:reward"]}},
    "_target_": "trap.reward",
    "__class__": "trap.Trap",
    "py/object": "trap.Trap",
}
ROW = {"idx": 1, "problem": "When?", "solution": [[1, 2]], "video": "a.mp4", "task": "tvg", **NAMING}
CODE = '__import__("trap")'


@pytest.fixture(autouse=True)
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module within reach that leaves a trace when it is imported."""
    trace = tmp_path / "imported"
    (tmp_path / "trap.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return trace


def test_a_row_names_no_reward_function(tmp_path: Path, trap: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    (sample,) = read_samples(file)
    scored = Scorer.from_config(Config().reward).score("<answer>1-2</answer>", sample, None)
    plain = Scorer.from_config(Config().reward)
    assert scored.values.keys() == plain.score("", sample, None).values.keys()
    row = read_completion_row(json.dumps({**ROW, "completion": "<answer>1-2</answer>"}).encode(), "a.jsonl:1", 1)
    assert plain.score(row.completion, row.sample, None).values == scored.values
    assert "trap" not in sys.modules
    assert not trap.exists()


@pytest.mark.parametrize("text", [CODE, f"<answer>{CODE}</answer>", f"<think>{CODE}</think><answer>{CODE}-2</answer>"])
def test_a_completion_is_never_evaluated(tmp_path: Path, trap: Path, text: str) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    (sample,) = read_samples(file)
    scored = Scorer.from_config(Config().reward).score(text, sample, None)
    assert scored.values["segment_matching"] == 0
    assert not trap.exists()
