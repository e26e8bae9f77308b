from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.cli import main
from museg.data.samples import read_samples
from museg.runs.directory import RunDirectory
from tests.end_to_end.conftest import REPOSITORY, Museg, Workplace
from tests.museg.runs.report.reading import Page

CONFIG = REPOSITORY / "configs" / "quickstart_sft.yaml"
KEYS = {
    *("step", "sft/loss", "sft/tokens_mean", "policy/entropy", "policy/grad_norm", "policy/lr", "time/step_s"),
    *("time/wait_video_s", "time/learn_s", "throughput/samples_per_s", "throughput/tokens_per_s"),
}


def overrides(workplace: Workplace, name: str, *more: str) -> list[str]:
    """The quickstart's supervised part, shortened: six steps of four samples."""
    return [
        f"run.name={name}",
        f"run.root={workplace.runs}",
        f"model.path={workplace.model}",
        f"data.train={workplace.model / 'demonstrations' / 'loose.jsonl'}",
        f"data.video_root={workplace.data}",
        "sft.steps=6",
        "sft.batch_size=4",
        "learner.warmup_steps=0",
        *more,
    ]


def weights_of(run: RunDirectory, step: int) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        run.checkpoint(step) / "hf"
    ).state_dict()
    return weights


@pytest.mark.slow
def test_an_interrupted_supervised_run_goes_on_to_the_weights_of_a_whole_one(
    museg: Museg, workplace: Workplace
) -> None:
    done = museg("sft", str(CONFIG), *overrides(workplace, "sft-whole"))
    assert done.returncode == 0, done.stderr
    whole = workplace.run("sft-whole")
    metrics = whole.read_metrics()
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5, 6]
    assert all(row.keys() >= KEYS for row in metrics)
    assert (workplace.summary("sft-whole")["status"], whole.checkpoint_steps()) == ("completed", [6])
    assert "Supervised loss" in [chart["title"] for chart in Page(whole.report_file.read_text()).index()["charts"]]
    assert "step 6/6 loss" in done.stdout

    command = [sys.executable, "-m", "museg", "sft", str(CONFIG), *overrides(workplace, "sft-stopped")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    while len(workplace.run("sft-stopped").read_metrics()) < 1:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no step in 300 s"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    (stopped_at,) = workplace.run("sft-stopped").checkpoint_steps()
    assert stopped_at < 6, "the run was over before the signal: the test shows nothing"

    resumed = museg("sft", str(CONFIG), *overrides(workplace, "sft-stopped"))
    assert resumed.returncode == 0, resumed.stderr
    run = workplace.run("sft-stopped")
    assert [row["sft/loss"] for row in run.read_metrics()] == [row["sft/loss"] for row in metrics]
    assert all(torch.equal(value, weights_of(whole, 6)[name]) for name, value in weights_of(run, 6).items())
    events = EventAccumulator(str(run.tensorboard), purge_orphaned_data=True)
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("sft/loss")]
    assert curve == [(row["step"], pytest.approx(row["sft/loss"])) for row in metrics], "each step once"
    again = museg("sft", str(CONFIG), *overrides(workplace, "sft-whole"))
    assert "already complete" in again.stdout


@pytest.mark.slow
def test_without_responses_the_annotation_is_taught_and_bad_videos_are_replaced(
    museg: Museg, workplace: Workplace, tmp_path: Path
) -> None:
    broken = shutil.copytree(workplace.data, tmp_path / "data")
    bad = read_samples(broken / "train.jsonl")[0].video
    (broken / bad).write_text("no video")
    where = [f"data.train={broken}/train.jsonl", f"data.video_root={broken}", "data.max_skipped_fraction=0.5"]
    done = museg("sft", str(CONFIG), *overrides(workplace, "sft-annotated", *where, "learner.ranks=2"))
    assert done.returncode == 0, done.stderr
    assert list(workplace.summary("sft-annotated")["videos_skipped"]) == [bad]  # type: ignore[call-overload]
    losses = [float(str(row["sft/loss"])) for row in workplace.run("sft-annotated").read_metrics()]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("sft.steps=0", "sft.steps must be at least 1"),
        ("data.train=nowhere.jsonl", "nowhere.jsonl"),
        ("data.train={tmp}/special.jsonl", "'response' holds the special token <|video_pad|>"),
        ("model.path=nowhere", "nowhere"),
        ("resume={tmp}", "isn't a checkpoint"),
        ("resume={tmp}/step-000002", "is of a run of `museg train`"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2_before_anything_is_written(
    override: str, complaint: str, workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads((workplace.data / "train.jsonl").read_text().splitlines()[0])
    (tmp_path / "special.jsonl").write_text(json.dumps({**row, "response": "<|video_pad|>"}))
    (tmp_path / "step-000002").mkdir()
    (tmp_path / "step-000002" / "trainer.json").write_text('{"step": 2}')
    assert main(["sft", str(CONFIG), *overrides(workplace, "sft-bad", override.format(tmp=tmp_path))]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not workplace.run("sft-bad").path.exists()
