from __future__ import annotations

import json

import pytest

from museg.cli import exit_codes
from museg.cli.main import main


def test_rewards_prints_one_object_with_figures_and_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rewards", "--completions", "64", "--preset", "robust", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["bench"], figures["preset"], figures["completions"]) == ("rewards", "robust", 64)
    assert figures["ratio"] == pytest.approx(64 / 4096 / figures["seconds"])


def test_without_json_the_figures_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rewards", "--completions", "8"]) == 0
    assert "completions_per_s" in capsys.readouterr().out


def test_no_completions_is_a_mistake_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rewards", "--completions", "0"]) == exit_codes.USER_ERROR
    assert capsys.readouterr().err == "museg: bench rewards: --completions must be at least 1 (got 0)\n"
