from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from museg.benchmarks.decode import one_core, qwen_vl_utils_decoder, require_same_frames
from museg.benchmarks.recordings import record
from museg.cli import exit_codes
from museg.cli.main import main
from museg.config.schema import VideoConfig
from museg.video.pixel_budget import FrameBudget


@pytest.mark.slow
def test_decode_measures_both_ways_on_the_same_frames_and_the_caches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "decode", "--seconds", "2", "--workers", "1", "--repeats", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["hit_rate"] == 0.5
    assert figures["ratio_vs_qwen_vl_utils"] == pytest.approx(figures["qwen_vl_utils_s"] / figures["workers_s"])
    assert figures["ratio_cached"] == pytest.approx(figures["workers_s"] / figures["cached_s"])
    assert figures["frames_per_s"] == pytest.approx(8 / figures["workers_s"])
    assert [(row["recording"], row["frames"]) for row in figures["per_core"]] == [("640x480", 4), ("1280x720", 4)]


def test_ways_that_give_other_pixels_are_never_compared(tmp_path: Path) -> None:
    budget = FrameBudget.from_config(VideoConfig(), evaluation=False)
    peer = qwen_vl_utils_decoder(budget)
    recordings = record(tmp_path, seconds=2, seed=3)[:1]
    assert require_same_frames(recordings, budget, peer) == [4]

    def slightly_off(path: Path) -> torch.Tensor:
        frames = peer(path)
        frames[2, 1, 5, 7] = (frames[2, 1, 5, 7] + 1) % 256
        return frames

    with pytest.raises(RuntimeError, match="640x480: museg's frames aren't those of qwen-vl-utils"):
        require_same_frames(recordings, budget, slightly_off)


def test_one_core_means_one_core_and_one_thread_for_a_while() -> None:
    before = os.sched_getaffinity(0), torch.get_num_threads()
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
        assert torch.get_num_threads() == 1
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == before


@pytest.mark.parametrize("option", ["--seconds", "--workers", "--repeats"])
def test_nonsense_is_told_in_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "decode", option, "0"]) == exit_codes.USER_ERROR
    assert capsys.readouterr().err.startswith(f"museg: bench decode: {option} must be at least ")
