from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.data.samples import read_samples
from tests.end_to_end.conftest import QUICKSTART, Museg, Workplace

pytestmark = pytest.mark.slow

METRIC_KEYS = {
    *("step", "weights_version", "reward/mean", "reward/std", "reward/format", "reward/segment_matching"),
    *("reward/global_matching", "reward/local_matching", "advantage/zero_groups", "completion/tokens_mean"),
    *("completion/truncated_fraction", "policy/kl", "policy/entropy", "policy/clip_fraction", "policy/grad_norm"),
    *("policy/loss", "parity/logprob_gap_mean", "parity/logprob_gap_max", "time/step_s", "time/wait_video_s"),
    *("time/generate_s", "time/reward_s", "time/learn_s", "time/sync_s", "throughput/completions_per_s"),
    *("throughput/tokens_per_s", "staleness"),
}


def weights_of(workplace: Workplace, name: str, step: int = 3) -> dict[str, torch.Tensor]:
    folder = workplace.run(name).checkpoint(step) / "hf"
    weights: dict[str, torch.Tensor] = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).state_dict()
    return weights


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_a_short_run_leaves_all_that_a_run_leaves(museg: Museg, workplace: Workplace) -> None:
    done = museg("train", str(QUICKSTART), *workplace.overrides("short", "grpo.kl_beta=0.04"))
    assert done.returncode == 0, done.stderr
    run, summary = workplace.run("short"), workplace.summary("short")
    assert (summary["status"], summary["steps"], summary["restarts"]) == ("completed", 3, 0)
    for evaluation in (summary["eval_before"], summary["eval_after"]):
        assert isinstance(evaluation, dict)
        assert {"miou", "segment_matching", "blind/miou"} <= evaluation.keys()
    metrics = run.read_metrics()
    assert [row["step"] for row in metrics] == [1, 2, 3]
    assert [row["weights_version"] for row in metrics] == [0, 1, 2]
    for row in metrics:
        assert row.keys() >= METRIC_KEYS
        assert float(str(row["parity/logprob_gap_mean"])) <= 1e-4
        assert row["staleness"] == 0
    assert "eval/miou" in metrics[1]
    assert "eval/blind/miou" in metrics[1]
    rows = run.read_rollouts(2)
    assert len(rows) == 4 * 8
    assert {"completion", "solution", "rewards", "advantage", "logprob_gap_mean"} <= rows[0].keys()
    assert all(math.isfinite(float(str(row["advantage"]))) for row in rows)
    assert run.checkpoint_steps() == [2, 3]
    assert run.report_file.is_file()
    assert "step 3/3" in done.stdout
    again = museg("train", str(QUICKSTART), *workplace.overrides("short", "grpo.kl_beta=0.04"))
    assert (again.returncode, len(run.read_metrics())) == (0, 3)
    assert "already" in again.stdout


@pytest.mark.parametrize("stages", [(3,), pytest.param((1, 2), marks=pytest.mark.thorough)])
def test_zero_stages_with_two_ranks_and_two_generators_end_at_the_same_weights(
    museg: Museg, workplace: Workplace, stages: Sequence[int]
) -> None:
    for stage in (0, *stages):
        more = [f"learner.zero_stage={stage}", "learner.ranks=2", "generation.workers=2", "data.eval=null"]
        more += ["learner.warmup_steps=0"]
        done = museg("train", str(QUICKSTART), *workplace.overrides(f"zero{stage}", "grpo.kl_beta=0.04", *more))
        assert done.returncode == 0, done.stderr
        for row in workplace.run(f"zero{stage}").read_metrics():
            assert float(str(row["parity/logprob_gap_mean"])) <= 1e-4
    start = Qwen2_5_VLForConditionalGeneration.from_pretrained(workplace.model).state_dict()
    reference = weights_of(workplace, "zero0")
    assert largest_difference(reference, start) > 1e-3, "three steps moved nothing: the comparison would be empty"
    for stage in stages:
        assert largest_difference(weights_of(workplace, f"zero{stage}"), reference) <= 1e-4


def test_bad_videos_are_named_skipped_and_counted_and_too_many_end_the_run(
    museg: Museg, workplace: Workplace, tmp_path: Path
) -> None:
    broken = shutil.copytree(workplace.data, tmp_path / "data")
    videos = sorted(sample.video for sample in read_samples(broken / "train.jsonl"))
    (broken / videos[0]).unlink()
    (broken / videos[1]).write_text("no video")
    where = [f"data.train={broken}/train.jsonl", f"data.video_root={broken}", "data.eval=null", "grpo.steps=4"]
    done = museg("train", str(QUICKSTART), *workplace.overrides("skips", *where, "data.max_skipped_fraction=0.5"))
    assert done.returncode == 0, done.stderr
    assert workplace.summary("skips")["videos_skipped"].keys() == set(videos[:2])  # type: ignore[attr-defined]
    skipped = workplace.run("skips").read_skipped()
    assert {row["video"] for row in skipped} == set(videos[:2])
    assert all(row["cause"] == "video" and row["replaced_by"] is not None for row in skipped)
    refused = museg("train", str(QUICKSTART), *workplace.overrides("refused", *where, "data.max_skipped_fraction=0"))
    assert refused.returncode == 2
    assert "data.max_skipped_fraction=0 allows" in refused.stderr
    assert refused.stderr.count("\n") == 1
