"""What a configuration asks of one step: a model's shape, groups of a typical size, and how they are spread."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Self

from museg.config.choices import DType
from museg.config.schema import Config, VideoConfig
from museg.errors import ConfigError
from museg.planning.model_shape import ModelShape
from museg.planning.operations import GroupShape, VideoGrid
from museg.rollout.micro_batches import MicroBatch, MicroBatcher
from museg.video.frame_sampling import TEMPORAL_PATCH, sampled_frame_indices
from museg.video.pixel_budget import PATCH, FrameBudget, frame_size

TEXT_TOKENS = 150
"""Of a prompt beside the video: chat format, a short question and the instructions, in Qwen's tokens."""
_FOOTAGE_FPS = 30.0
_FOOTAGE_SIZE = (480, 640)
"""Height and width of the stored frames."""


class _Group(NamedTuple):
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """The videos of a run, all alike."""

    duration_s: float
    grid: VideoGrid

    @classmethod
    def typical(cls, video: VideoConfig, duration_s: float, visual_tokens: int | None) -> Self:
        """What the configuration makes of 640 × 480 pixels at 30 frames a second.

        Args:
            visual_tokens: so many instead of what the pixel budget leaves, or as near as the frames divide them.

        Raises:
            ConfigError: there are fewer visual tokens than pairs of frames, or the video is empty.
        """
        if not math.isfinite(duration_s) or duration_s <= 0:
            raise ConfigError(f"plan: --video-seconds must be above 0 (got {duration_s:g})")
        budget = FrameBudget.from_config(video, evaluation=False)
        num_frames = _num_frames(budget, duration_s)
        if visual_tokens is None:
            return cls(duration_s=duration_s, grid=_grid(budget, num_frames))
        time = num_frames // TEMPORAL_PATCH
        if visual_tokens < time:
            raise ConfigError(
                f"plan: --video-tokens must be at least {time}, one for each pair of the {num_frames} frames of "
                f"{duration_s:g} s (got {visual_tokens}): raise it, or lower --video-seconds"
            )
        each = round(visual_tokens / time)
        height = next(side for side in range(math.isqrt(each), 0, -1) if each % side == 0)
        return cls(duration_s=duration_s, grid=VideoGrid(time=time, height=2 * height, width=2 * each // height))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One phase of a run. All groups are alike: the typical video, completions of the mean length."""

    config: Config
    """The phase's."""
    model: ModelShape
    footage: Footage
    completion_tokens: int
    """Mean of a completion."""

    @property
    def group(self) -> GroupShape:
        """What one prompt of the step is."""
        return GroupShape(
            prompt_tokens=self.footage.grid.tokens(self.model.vision) + TEXT_TOKENS,
            completion_tokens=self.completion_tokens,
            group_size=self.config.grpo.group_size,
            video=self.footage.grid,
        )

    @property
    def num_completions(self) -> int:
        """Of a step."""
        return self.config.grpo.prompts_per_step * self.config.grpo.group_size

    @property
    def num_gpus(self) -> int:
        """That the configuration's workers ask for."""
        generation = self.config.generation
        return generation.workers * generation.tensor_parallel_size + self.config.learner.ranks

    @property
    def has_reference(self) -> bool:
        return self.config.grpo.kl_beta > 0

    @property
    def bytes_per_value(self) -> int:
        """Of weights and activations."""
        return 2 if self.config.model.dtype is DType.bfloat16 else 4

    @property
    def longest_prompt(self) -> int:
        """Tokens of the prompt whose video fills the pixel budget best, at 640 × 480 pixels."""
        budget = FrameBudget.from_config(self.config.video, evaluation=False)
        counts = range(budget.min_frames, budget.max_frames + 1)
        frames = (number for number in counts if number % TEMPORAL_PATCH == 0)
        tokens = (_grid(budget, number).tokens(self.model.vision) for number in frames)
        return max(tokens, default=0) + TEXT_TOKENS

    @property
    def groups_of_busiest_worker(self) -> int:
        """Prompts that the busiest generation worker is dealt."""
        return math.ceil(self.config.grpo.prompts_per_step / self.config.generation.workers)

    @property
    def groups_per_micro_batch(self) -> int:
        """Of the largest micro-batch."""
        return max(len(one.items) for one in self._micro_batches())

    @property
    def micro_batches_of_busiest_rank(self) -> int:
        return max(Counter(one.rank for one in self._micro_batches()).values())

    @property
    def groups_of_busiest_rank(self) -> int:
        groups: Counter[int] = Counter()
        for one in self._micro_batches():
            groups[one.rank] += len(one.items)
        return max(groups.values())

    def _micro_batches(self) -> list[MicroBatch[_Group]]:
        """Groups of the typical size, packed and dealt as the learner does it."""
        learner, num_groups = self.config.learner, self.config.grpo.prompts_per_step
        batcher: MicroBatcher[_Group] = MicroBatcher(
            num_items=num_groups, num_ranks=learner.ranks, max_tokens=learner.micro_batch_tokens
        )
        return [one for _ in range(num_groups) for one in batcher.add(_Group(self.group.tokens))]


def _num_frames(budget: FrameBudget, duration_s: float) -> int:
    native = max(1, round(duration_s * _FOOTAGE_FPS))
    indices = sampled_frame_indices(
        native, _FOOTAGE_FPS, fps=budget.fps, min_frames=budget.min_frames, max_frames=budget.max_frames
    )
    return len(indices)


def _grid(budget: FrameBudget, num_frames: int) -> VideoGrid:
    height, width = frame_size(*_FOOTAGE_SIZE, num_frames, budget)
    side = PATCH // 2
    return VideoGrid(time=num_frames // TEMPORAL_PATCH, height=height // side, width=width // side)
