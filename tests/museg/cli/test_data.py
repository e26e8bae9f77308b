from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from museg.cli import data
from museg.errors import DataError


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="museg")
    data.add_parser(parser.add_subparsers())
    return parser


def test_synth_writes_the_data_set_and_prints_a_table(
    parser: argparse.ArgumentParser, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    command = ["data", "synth", "--output", str(tmp_path / "d"), "--seed", "5", "--workers", "2", "--event-s", "3", "3"]
    for split, number in (("warm-start", 4), ("train", 10), ("eval", 7)):
        command += [f"--{split}-samples", str(number)]
    args = parser.parse_args(command)
    assert args.run(args) == 0
    rows = {line.split()[1]: line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")}
    assert list(rows) == ["warm_start", "train", "eval"]
    assert [rows["train"][column].strip() for column in (2, 3, 4, 5)] == ["10", "10", "30%", "3.0 (3 to 3)"]
    assert 0.1 < float(rows["train"][7]) < 0.6
    settings = json.loads((tmp_path / "d" / "manifest.json").read_text())["settings"]
    assert settings["seed"] == 5
    assert settings["eval"] == {"num_samples": 7, "min_event_s": 3, "max_event_s": 3}
    assert args.run(args) == 0
    assert "(reused)" in capsys.readouterr().out


def test_settings_that_do_not_fit_raise_before_anything_is_written(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    args = parser.parse_args(["data", "synth", "--output", str(tmp_path / "d"), "--duration-s", "30", "20"])
    with pytest.raises(DataError, match=r"durations must be 1 <= min <= max \(got 30 and 20 s\)"):
        args.run(args)
    assert list(tmp_path.iterdir()) == []


def test_the_help_has_an_example(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["data", "synth", "--help"])
    assert "example: museg data synth --output" in capsys.readouterr().out
