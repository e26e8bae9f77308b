"""`museg eval` of a run: what the run itself found at its end, though it was cut off in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from museg.cli import main
from museg.data.samples import read_samples, write_samples
from tests.end_to_end.conftest import QUICKSTART, REPOSITORY, Museg, Workplace

pytestmark = pytest.mark.slow

QUESTIONS_PER_VIDEO = 8


def num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def test_an_evaluation_that_was_cut_off_goes_on_to_the_scores_at_the_end_of_training(
    museg: Museg, workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = read_samples(workplace.data / "eval.jsonl")
    held_out[-1] = replace(held_out[-1], video="videos/nowhere.mp4")
    questions = tmp_path / "questions.jsonl"
    write_samples(questions, held_out * QUESTIONS_PER_VIDEO)
    trained = museg(
        "train", str(QUICKSTART), *workplace.overrides("evaluated", f"data.eval={questions}", "grpo.steps=1")
    )
    assert trained.returncode == 0, trained.stderr
    run, output = workplace.run("evaluated").path, tmp_path / "output"
    command = ["eval", "--run", str(run), "--output", str(output)]

    _interrupt_after_first_answer(command, output / "answers.jsonl")
    num_kept, num_all = num_lines(output / "answers.jsonl"), 2 * len(held_out) * QUESTIONS_PER_VIDEO
    assert 0 < num_kept < num_all, "everything was answered before the signal: the test shows nothing"
    with (output / "answers.jsonl").open("a") as log:
        log.write('{"question": 1, "bl')
    kept = (output / "answers.jsonl").read_text().splitlines()[:num_kept]
    resumed = museg(*command)
    assert resumed.returncode == 0, resumed.stderr
    assert "nowhere.mp4" in resumed.stdout
    assert (output / "answers.jsonl").read_text().splitlines()[:num_kept] == kept

    result = json.loads((output / "results.json").read_text())
    scores = result["scores"] | {f"blind/{name}": value for name, value in result["blind"].items()}
    assert scores == workplace.summary("evaluated")["eval_after"]
    assert result["skipped_videos"].keys() == {"videos/nowhere.mp4"}
    assert result["settings"]["max_frames"] == 768

    stored = ["eval", "--benchmark", "samples", "--predictions", str(output / "predictions.json"), "--json"]
    assert main(stored) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == result["scores"]
    assert main([*command, "video.eval_max_frames=8"]) == 2
    assert "holds answers that came about with another max_frames (768, now 8)" in capsys.readouterr().err


def _interrupt_after_first_answer(command: list[str], answers: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "museg", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 300
    while num_lines(answers) == 0:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no answer in 300 s"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 130, shown
    assert "answers are kept" in shown
