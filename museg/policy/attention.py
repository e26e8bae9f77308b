"""Attention of a packed group: the prompt once, each completion against the prompt and itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED_GROUP = "packed_group"
"""Name of the attention in transformers' registry; importing this module registers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayout:
    """Where the parts of a packed group lie in its one sequence `[prompt, c1 … cG]`.

    Letters: T prompt tokens, G completions, C tokens of the longest completion, N completion tokens in all.
    """

    num_prompt_tokens: int
    """T."""
    padded_from_packed: torch.Tensor
    """`[G, C]`, for each slot of the padded completions its token among the N; padding repeats some token."""
    packed_from_padded: torch.Tensor
    """`[N]`, for each of the N its slot in the flattened `[G · C]`."""
    visible: torch.Tensor
    """Bool `[C, T + C]`: the whole prompt, and of a completion's own tokens those up to the query's."""


def packed_group_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    packed_layout: PackedLayout | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' calling convention, by the layout that the model's caller passed as `packed_layout`.

    The prompt attends causally to itself, once; the completions, padded to the longest, are a batch of G against the
    prompt's keys and their own. Exact, and differentiable by plain autograd; no `[T + N, T + N]` mask exists.
    Without a layout it is transformers' SDPA attention.

    Args:
        query: `[1, heads, T + N, D]`.
        key: `[1, key-value heads, T + N, D]`, and `value` alike.

    Returns:
        `[1, T + N, heads, D]`, and None for the attention weights.
    """
    if packed_layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    sizes = [packed_layout.num_prompt_tokens, query.shape[2] - packed_layout.num_prompt_tokens]
    (prompt_q, own_q), (prompt_k, own_k), (prompt_v, own_v) = (x.split(sizes, dim=2) for x in (query, key, value))
    prompt_out = _attend(prompt_q, prompt_k, prompt_v, None, scaling)
    padded_out = _attend(
        _pad(own_q, packed_layout),
        _after_prompt(prompt_k, own_k, packed_layout),
        _after_prompt(prompt_v, own_v, packed_layout),
        packed_layout.visible,
        scaling,
    )
    own_out = padded_out.transpose(0, 1).flatten(1, 2)[:, packed_layout.packed_from_padded]
    return torch.cat([prompt_out, own_out.unsqueeze(0)], dim=2).transpose(1, 2), None


def _pad(own: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    """Completions `[1, H, N, D]` as `[G, H, C, D]`."""
    return own[0][:, layout.padded_from_packed].transpose(0, 1)


def _after_prompt(prompt: torch.Tensor, own: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    """The prompt's `[1, H, T, D]` before each completion's own: `[G, H, T + C, D]`."""
    padded = _pad(own, layout)
    return torch.cat([prompt.expand(padded.shape[0], -1, -1, -1), padded], dim=2)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """SDPA over grouped heads; causal where `visible` is None."""
    grouped = query.shape[1] != key.shape[1]
    if grouped and query.is_cuda and visible is not None:
        # CUDA's memory-efficient kernel, the only one that takes a mask, wants as many key as query heads; with fewer
        # SDPA falls back to materialised scores.
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
        grouped = False
    return scaled_dot_product_attention(
        query, key, value, attn_mask=visible, is_causal=visible is None, scale=scaling, enable_gqa=grouped
    )


AttentionInterface.register(PACKED_GROUP, packed_group_attention)
AttentionMaskInterface.register(PACKED_GROUP, sdpa_mask)
