"""`museg rollout`: a run's sampling without its learning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.cli import main
from museg.runs.directory import RunDirectory
from tests.end_to_end.conftest import QUICKSTART, Museg, Workplace

pytestmark = pytest.mark.slow


def completions(run: RunDirectory, step: int) -> list[tuple[object, ...]]:
    return [tuple(row[key] for key in ("idx", "index", "completion", "reward")) for row in run.read_rollouts(step)]


def test_the_first_step_is_that_of_the_run_and_what_is_there_is_not_sampled_again(
    museg: Museg, workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = workplace.overrides("rollouts", "deterministic=true", "eval.every_steps=100")
    trained = museg("train", str(QUICKSTART), *settings, "grpo.steps=1", "data.eval=null")
    assert trained.returncode == 0, trained.stderr
    command = ["rollout", str(QUICKSTART), *settings, "--output", str(tmp_path / "sampled"), "--json"]
    done = museg(*command, "--steps", "2")
    assert done.returncode == 0, done.stderr
    sampled = RunDirectory(tmp_path / "sampled")
    assert sampled.rollout_steps() == [1, 2]
    assert sorted(completions(sampled, 1)) == sorted(completions(workplace.run("rollouts"), 1))
    rows = sampled.read_rollouts(1) + sampled.read_rollouts(2)
    summary = json.loads(done.stdout)
    assert (summary["num_groups"], summary["num_completions"]) == (2 * 4, len(rows)) == (8, 64)
    total = summary["rewards"]["total"]
    assert total["mean"] == pytest.approx(sum(float(str(row["reward"])) for row in rows) / len(rows))
    assert total["best"] > total["mean"]
    # Everything is there: not even Ray is started.
    capsys.readouterr()
    assert main([*command, "--steps", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert main([*command, "--steps", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["num_completions"] == 32
    assert main(["report", str(sampled.path)]) == 0
    assert 'id="timelines"' in sampled.report_file.read_text()
    assert main([*command, "--steps", "2", "seed=7"]) == 2
    assert "holds rollouts of a configuration with another seed: choose another --output" in capsys.readouterr().err


def test_mistakes_are_one_line(workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["rollout", *arguments]) == 2
        return capsys.readouterr().err

    assert "needs one of CONFIG and --run" in refused()
    assert "isn't a run directory: it has no config.yaml" in refused("--run", str(tmp_path / "nowhere"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    settings = workplace.overrides("refused")
    message = refused(str(QUICKSTART), *settings, "--output", str(tmp_path / "full"))
    assert "holds other things: choose another --output" in message
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["notes.txt"]
