from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.cli import main
from museg.config.loading import dump_config, read_config
from museg.runs.directory import RunDirectory

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A run of one step whose driver was killed."""
    run = RunDirectory(tmp_path / "first")
    run.create(dump_config(read_config(QUICKSTART, ["run.name=first"])))
    run.append_metrics({"step": 1, "reward/mean": 0.75, "time/step_s": 1.0, "time/unix_s": 0.0})
    return tmp_path


def test_runs_are_listed_for_people(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["status", str(root)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == [
        *("run", "state", "step", "age", "reward", "restarts", "skipped", "health")
    ]
    [line] = [line for line in shown.splitlines() if "first" in line]
    assert line.split()[:3] == ["first", "dead", "1/80"]
    assert line.split()[-5:] == ["0.750", "0", "0", "driver", "gone"]


def test_runs_are_listed_for_programs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root), "--json"]) == 0
    [status] = json.loads(capsys.readouterr().out)
    assert (status["name"], status["state"], status["step"], status["reward"]) == ("first", "dead", 1, 0.75)


def test_a_folder_without_runs_says_so_and_no_folder_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path}\n"
    assert main(["status", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_name_of_a_folder_steers_no_terminal(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (root / "\x1b[2J[red]").mkdir()
    (root / "\x1b[2J[red]" / "config.yaml").write_text("{")
    assert main(["status", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]" in shown
