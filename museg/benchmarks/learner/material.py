"""What every way of the learner's work is given: one model's weights, one prompt with its video, one group.

Letters for shapes: P prompt tokens, G completions, C tokens of each, V visual tokens, N = 4 V patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import Qwen2_5_VLConfig

from museg.benchmarks.learner.shapes import model_config
from museg.grpo.aggregation import StepTotals
from museg.planning.operations import VideoGrid
from museg.policy.inputs import PromptInputs
from museg.policy.positions import prompt_positions

MIN_TEXT_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerWork:
    """What to measure; everything random in it follows from the seed."""

    model_shape: str = "bench"
    """One of `museg.benchmarks.learner.shapes.SHAPES`."""
    layers: int | None = None
    """Text layers to keep of the shape's; None keeps all."""
    prompt_tokens: int = 800
    """P, visual ones included."""
    completion_tokens: int = 48
    """C; all completions are equally long, so that the naive way pads nothing."""
    group_size: int = 8
    """G."""
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    gradient_checkpointing: bool = False
    with_reference: bool = False
    """Also score the group without gradient, as the KL penalty's reference does."""

    @property
    def video_side(self) -> int:
        """Side of the video's cube of visual tokens: the largest that leaves some text.

        In a cube the text after the video starts at the same position by the engine's rule (after the maximum over
        all axes) and by transformers' own for an image (after the larger of height and width), which TRL computes.
        """
        side = 2
        while (side + 1) ** 3 <= self.prompt_tokens - MIN_TEXT_TOKENS:
            side += 1
        return side

    @property
    def visual_tokens(self) -> int:
        """V."""
        return self.video_side**3

    @property
    def video(self) -> VideoGrid:
        """The video's patches."""
        return VideoGrid(time=self.video_side, height=2 * self.video_side, width=2 * self.video_side)

    def config(self) -> Qwen2_5_VLConfig:
        """Of the model."""
        return model_config(self.model_shape, layers=self.layers, dtype=self.dtype)


@dataclass(frozen=True, kw_only=True)
class Material:
    """One prompt, its video, and a group of completions with advantages."""

    prompt: PromptInputs
    completions: tuple[tuple[int, ...], ...]
    """G of C token ids."""
    advantages: torch.Tensor
    """`[G]`, on the model's device."""

    @cached_property
    def totals(self) -> StepTotals:
        """The group is the whole step."""
        num_tokens = sum(map(len, self.completions))
        return StepTotals(num_groups=1, num_completions=len(self.completions), num_tokens=num_tokens)


def make_material(work: LearnerWork) -> Material:
    """Random ids, pixels and advantages."""
    config, grid, random = work.config(), work.video, torch.Generator().manual_seed(work.seed)
    num_text = work.prompt_tokens - work.visual_tokens
    ordinary = config.vision_end_token_id
    text = torch.randint(ordinary, (num_text - 2,), generator=random)
    video = [config.vision_start_token_id, *[config.video_token_id] * work.visual_tokens, config.vision_end_token_id]
    input_ids = torch.cat([text[:4], torch.tensor(video), text[4:]])
    grid_thw = torch.tensor([[grid.time, grid.height, grid.width]])
    second_per_grid_s = 1.0 / config.vision_config.tokens_per_second
    positions, next_position = prompt_positions(input_ids, grid_thw, second_per_grid_s, config)
    completions = torch.randint(ordinary, (work.group_size, work.completion_tokens), generator=random)
    return Material(
        prompt=PromptInputs(
            video="noise",
            input_ids=input_ids,
            pixel_values=torch.randn(grid.patches, 3 * 2 * 14 * 14, generator=random),
            grid_thw=grid_thw,
            second_per_grid_s=second_per_grid_s,
            positions=positions,
            next_position=next_position,
        ),
        completions=tuple(map(tuple, completions.tolist())),
        advantages=torch.randn(work.group_size, generator=random).to(work.device),
    )
