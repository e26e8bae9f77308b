"""Operations that torch counts while it runs a model, to hold the formulas against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from museg.planning.model_shape import ModelShape
from museg.planning.operations import GroupShape

_aten: Any = torch.ops.aten
_VISION_STARTS = 3
"""Text tokens before the video."""


def _attention(query: Sequence[int], key: Sequence[int], *, causal: bool, products: int) -> int:
    """Operations of some matrix products over the pairs that the kernel computes."""
    batch, heads, rows, width = query
    pairs = rows * (rows + 1) // 2 if causal else rows * key[2]
    return products * 2 * batch * heads * pairs * width


def _forward(
    q: Sequence[int], k: Sequence[int], v: object, dropout: float = 0.0, causal: bool = False, **_: object
) -> int:
    return _attention(q, k, causal=causal, products=2)


def _backward(grad: object, q: Sequence[int], k: Sequence[int], *rest: Any, **_: object) -> int:
    *_, causal = rest  # after value, output, normalizer and dropout
    return _attention(q, k, causal=causal, products=5)


def _added_product(into: object, left: Sequence[int], right: Sequence[int], **_: object) -> int:
    return 2 * left[0] * left[1] * right[1]


UNKNOWN_OPERATIONS = {
    _aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
    _aten.addmm_: _added_product,
}
"""What the counter doesn't know: of attention it knows CUDA's kernels alone, and takes a causal one for full."""


class CountedModel:
    """A random model, SDPA its attention, that counts what it does for one row of prompt and completion."""

    def __init__(self, config: Qwen2_5_VLConfig, *, gradient_checkpointing: bool = False) -> None:
        self.config, self.shape = config, ModelShape.of(config)
        self.model = Qwen2_5_VLForConditionalGeneration(config).train()
        self.model.set_attn_implementation("sdpa")
        if gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def forward(self, group: GroupShape) -> dict[str, int]:
        """Operations of one row's forward by module, the modules named as in the model."""
        with FlopCounterMode(display=False, custom_mapping=UNKNOWN_OPERATIONS) as counter, torch.no_grad():
            self.logits(group)
        counts = counter.get_flop_counts().items()
        return {name.partition(".")[2]: sum(by_operation.values()) for name, by_operation in counts}

    def trained(self, group: GroupShape) -> int:
        """Operations of one row's forward and backward."""
        with FlopCounterMode(display=False, custom_mapping=UNKNOWN_OPERATIONS) as counter:
            self.logits(group).sum().backward()
        return counter.get_total_flops()

    def logits(self, group: GroupShape) -> torch.Tensor:
        """One row's forward, `[1, completion tokens, vocabulary]`."""
        video, visual = group.video, group.video.tokens(self.shape.vision)
        tokens = group.prompt_tokens + group.completion_tokens
        ids = torch.full((1, tokens), 10)
        ids[0, _VISION_STARTS : _VISION_STARTS + visual] = self.config.video_token_id
        logits: torch.Tensor = self.model(
            input_ids=ids,
            position_ids=torch.arange(tokens).expand(3, 1, tokens),
            pixel_values_videos=torch.randn(video.patches, self.shape.vision.patch_values),
            video_grid_thw=torch.tensor([[video.time, video.height, video.width]]),
            logits_to_keep=torch.arange(group.prompt_tokens - 1, tokens - 1),
            use_cache=False,
        ).logits
        return logits
