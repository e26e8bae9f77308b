from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from museg.cli import report
from museg.errors import DataError
from museg.runs.directory import RunDirectory


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="museg")
    report.add_parser(parser.add_subparsers())
    return parser.parse_args(argv)


def test_the_report_is_written_and_its_place_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("run:\n  name: run\n")
    args = parse("report", str(run.path))
    assert args.run(args) == 0
    assert capsys.readouterr().out == f"{run.report_file}\n"
    assert run.report_file.is_file()


def test_a_folder_that_is_no_run_is_refused_and_nothing_written(tmp_path: Path) -> None:
    args = parse("report", str(tmp_path))
    with pytest.raises(DataError, match="isn't a run directory"):
        args.run(args)
    assert list(tmp_path.iterdir()) == []


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("report", "--help")
    assert "museg report runs/quickstart" in capsys.readouterr().out
