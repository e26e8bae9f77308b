"""3-D rotary positions (M-RoPE) of a video prompt, as vLLM computes them.

Transformers' own `get_rope_index` starts the text after a video at `max(h, w) // 2` past the video's start; vLLM, and
the model's training, start it one past the maximum over all three axes. On videos the two are different policies.
"""

from __future__ import annotations

import torch
from transformers import Qwen2_5_VLConfig

from museg.errors import ModelError


def prompt_positions(
    input_ids: torch.Tensor, video_grid_thw: torch.Tensor, second_per_grid_s: float, config: Qwen2_5_VLConfig
) -> tuple[torch.Tensor, int]:
    """Positions of a prompt's tokens on the temporal, height and width axis, and the position of the token after it.

    Text advances all three axes by one per token. A video's token at `(t, h, w)` of the merged grid has the video's
    start plus `(int(t · second_per_grid_s · tokens_per_second), h, w)`; the text after it starts at the maximum over
    all axes + 1. Source: `get_mrope_input_positions` in vLLM 0.32's `model_executor/models/qwen2_5_vl.py`.

    Args:
        input_ids: `[T]`, the video placeholder repeated once per merged visual token.
        video_grid_thw: `[1, 3]`, the video's grid in patches.
        second_per_grid_s: seconds of video between two temporal grid steps, rounded as the engine rounds it
            (`museg.policy.inputs.engine_second_per_grid`).
        config: of the model; `tokens_per_second` and `spatial_merge_size` of its vision part count.

    Returns:
        Positions, int64 `[3, T]`, and the position on all axes of the first token after the prompt.

    Raises:
        ModelError: the placeholders aren't one unbroken run of the grid's length.
    """
    merge = config.vision_config.spatial_merge_size
    num_t, num_h, num_w = (int(size) for size in video_grid_thw[0])
    grid = torch.cartesian_prod(
        # Float64, because vLLM truncates the product of Python floats: float32 puts some frames one position off.
        (
            torch.arange(num_t, dtype=torch.float64) * (second_per_grid_s * config.vision_config.tokens_per_second)
        ).long(),
        torch.arange(num_h // merge),
        torch.arange(num_w // merge),
    ).T
    start = _placeholder_start(input_ids, config.video_token_id, grid.shape[1])
    after_video = start + int(grid.max()) + 1
    num_tail = input_ids.shape[0] - start - grid.shape[1]
    positions = torch.cat(
        [
            torch.arange(start).expand(3, -1),
            start + grid,
            after_video + torch.arange(num_tail).expand(3, -1),
        ],
        dim=1,
    )
    return positions, after_video + num_tail


def _placeholder_start(input_ids: torch.Tensor, video_token_id: int, num_visual_tokens: int) -> int:
    """Index of the first video placeholder, after checking that the run of them is whole."""
    where = (input_ids == video_token_id).nonzero().squeeze(1)
    if len(where) != num_visual_tokens or int(where[-1] - where[0]) + 1 != num_visual_tokens:
        raise ModelError(
            f"prompt has {len(where)} video placeholders where its video has {num_visual_tokens} visual tokens: "
            "a question must not contain <|video_pad|>"
        )
    return int(where[0])
