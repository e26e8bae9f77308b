from __future__ import annotations

import pytest

from museg.config.schema import Config
from museg.data.samples import Sample
from museg.planning.room import largest_clip_bytes, too_large_for_store, too_long_for_context


def sample(idx: int, duration_s: float | None) -> Sample:
    return Sample(idx=idx, problem="", solution=((0.0, 1.0),), video=f"{idx}.mp4", task="tvg", duration_s=duration_s)


def test_the_longest_video_whose_prompt_fills_the_context_is_named() -> None:
    config = Config()
    config.video.total_pixels = 12_544 * 448
    config.generation.max_model_len = 8192
    samples = [sample(1, 30.0), sample(2, None), sample(3, 500.0), sample(4, 90.0)]
    # 448 frames are 224 pairs, of 20 × 1.05 × 12,544 / (28 × 28) tokens at most and 12 at least.
    assert list(too_long_for_context(config, samples)) == []
    config.generation.max_model_len = 2048
    (told,) = too_long_for_context(config, samples)
    assert told.startswith("sample 3 (3.mp4, 500 s) makes a prompt of about ")
    assert 224 * 12 <= int(told.split(" about ")[1].split()[0]) <= 224 * 32 + 150
    assert list(too_long_for_context(config, [sample(1, None)])) == []


def test_clips_that_fill_the_object_store_are_told_by_the_knobs_that_bound_them() -> None:
    config = Config()
    config.video.min_frames, config.video.max_frames = 4, 8
    config.video.max_pixels, config.video.min_pixels, config.video.total_pixels = 10_000, 784, 20_000
    # 4 frames share 20,000 pixels by pairs: 10,000 each; from there on the budget bounds their sum.
    assert largest_clip_bytes(config) == 2 * 20_000 * 3
    config.pipeline.prefetch_steps, config.pipeline.staleness, config.recovery.snapshot_steps = 2, 1, 5
    config.grpo.prompts_per_step, config.video.cache_gib = 10, 0.0
    held = 9 * 10 * 120_000
    assert list(too_large_for_store(config, held)) == []
    (told,) = too_large_for_store(config, held - 1)
    assert "pipeline.prefetch_steps" in told
    config.video.cache_gib = 1.0
    assert list(too_large_for_store(config, held)) != []
    assert largest_clip_bytes(Config()) == pytest.approx(448 * 13_171 * 3, rel=0.01)
