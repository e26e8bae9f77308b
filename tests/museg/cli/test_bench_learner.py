from __future__ import annotations

import json

import pytest

from museg.cli import exit_codes
from museg.cli.main import main

TINY = ["--prompt-tokens", "50", "--completion-tokens", "6", "--group-size", "3", "--layers", "1", "--repeats", "2"]


@pytest.mark.slow
def test_the_figures_compare_equal_results_and_follow_from_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "learner", *TINY, "--table", "--no-memory", "--no-trl", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["prompt_tokens"], figures["visual_tokens"], figures["group_size"]) == (50, 27, 3)
    assert figures["logprob_gap"] < 1e-5
    assert figures["gradient_gap"] < 1e-5
    assert figures["share_of_limit"] == pytest.approx(figures["ratio_vs_naive"] / figures["limit"])
    assert figures["naive_s_min"] <= figures["naive_s"] <= figures["naive_s_max"]
    assert [row["G"] for row in figures["groups"]] == [2, 4, 8, 16]
    limits = [1, *(row["limit"] for row in figures["groups"])]
    assert limits == sorted(limits)
    assert all(row["limit"] < row["G"] for row in figures["groups"])


@pytest.mark.parametrize(
    ("option", "value", "bound"),
    [("--group-size", "1", 2), ("--prompt-tokens", "23", 24), ("--repeats", "0", 1), ("--completion-tokens", "0", 1)],
)
def test_a_size_that_cannot_be_is_a_mistake_told_in_one_line(
    option: str, value: str, bound: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "learner", option, value]) == exit_codes.USER_ERROR
    assert capsys.readouterr().err == f"museg: bench learner: {option} must be at least {bound} (got {value})\n"


def test_a_device_that_is_not_there_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["bench", "learner", "--device", "cuda"]) == exit_codes.USER_ERROR
    assert "torch sees no CUDA device" in capsys.readouterr().err
