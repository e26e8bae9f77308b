"""What of a run's data is likely not to fit where it has to, told before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from museg.config.schema import Config
from museg.data.samples import Sample
from museg.planning.workload import TEXT_TOKENS, Footage
from museg.video.pixel_budget import FrameBudget

_CHANNELS = 3
_GIB = 1 << 30


def too_long_for_context(config: Config, samples: Iterable[Sample]) -> Iterator[str]:
    """Names the longest video whose prompt would fill `generation.max_model_len`, by the durations that the rows know.

    As 640 × 480 pixels at 30 frames a second; the exact number, at which a run ends, is known once it is decoded.
    """
    context = config.generation.max_model_len
    known = [(sample.duration_s, sample) for sample in samples if sample.duration_s]
    if not known:
        return
    duration_s, longest = max(known, key=lambda one: one[0])
    grid = Footage.typical(config.video, duration_s, visual_tokens=None).grid
    num_tokens = grid.time * grid.height * grid.width // 4 + TEXT_TOKENS
    if num_tokens >= context:
        yield (
            f"sample {longest.idx} ({longest.video}, {duration_s:g} s) makes a prompt of about {num_tokens} tokens, "
            f"and the run would end at it: raise generation.max_model_len={context}, or lower video.total_pixels"
        )


def too_large_for_store(config: Config, store_bytes: float) -> Iterator[str]:
    """Tells if the clips that a run holds at most may fill Ray's object store, which then goes on on disk, slowly.

    Held are those of the steps decoded ahead, at work, sampled ahead of the weights, and kept for a restart of the
    learner, and the clips cached beyond.
    """
    steps = config.pipeline.prefetch_steps + 1 + config.pipeline.staleness + config.recovery.snapshot_steps
    needed = steps * config.grpo.prompts_per_step * largest_clip_bytes(config) + config.video.cache_gib * _GIB
    if needed > store_bytes:
        yield (
            f"clips may take {needed / _GIB:.1f} GiB of the object store's {store_bytes / _GIB:.1f}: give Ray more "
            "(--object-store-memory), or lower pipeline.prefetch_steps, video.cache_gib, recovery.snapshot_steps or "
            "video.total_pixels"
        )


def largest_clip_bytes(config: Config) -> int:
    """Of the frames of one training video, at most."""
    budget = FrameBudget.from_config(config.video, evaluation=False)
    counts = range(budget.min_frames, budget.max_frames + 1)
    return int(max(count * budget.pixels_per_frame(count) for count in counts) * _CHANNELS)
