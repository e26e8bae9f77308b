"""Attention of packed groups: each prompt once, each completion against its prompt and itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from museg.policy.block_sparse import block_sparse_attention
from museg.policy.merged import MergedAttention

PACKED_GROUP = "packed_group"
"""Name of the attention in transformers' registry; importing this module registers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpan:
    """Where one group lies in the sequence: its prompt, and right behind it its completions one after another."""

    start: int
    num_prompt_tokens: int
    num_completion_tokens: int

    @property
    def prompt_end(self) -> int:
        return self.start + self.num_prompt_tokens

    @property
    def end(self) -> int:
        return self.prompt_end + self.num_completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayout:
    """Where the parts of packed groups lie in their one sequence `[prompt 1, completions 1, prompt 2, …]`.

    Letters: S tokens in all, N completion tokens of all groups, R completions of all groups, C tokens of the longest.
    """

    spans: tuple[GroupSpan, ...]
    group: torch.Tensor
    """`[S]`, number of each token's group."""
    piece: torch.Tensor
    """`[S]`, 0 in a prompt, otherwise the number from 1 of the token's completion in its group."""
    own_rows: torch.Tensor
    """`[N]`, indices in S of the completions' tokens."""
    padded_rows: torch.Tensor
    """`[R, C]`, the same with every completion padded on the right; padding repeats its first token."""
    slots: torch.Tensor
    """`[N]`, for each completion token its place in the flattened `[R · C]`."""
    is_padding: torch.Tensor
    """Bool `[R, C]`."""
    block_mask: BlockMask | None = None
    """Which blocks of 128 tokens see which, on CUDA."""


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

    Exact and differentiable, and neither a mask over all pairs of tokens nor a copy of a prompt's keys for each of its
    completions exists. Without a layout it is transformers' SDPA attention.

    Args:
        query: `[1, heads, S, D]`.
        key: `[1, key-value heads, S, D]`, and `value` alike.

    Returns:
        `[1, S, heads, D]`, and None for the attention weights.
    """
    if packed_layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if packed_layout.block_mask is not None:
        return block_sparse_attention(query, key, value, packed_layout.block_mask, scaling), None
    return MergedAttention.apply(query, key, value, packed_layout, scaling), None


AttentionInterface.register(PACKED_GROUP, packed_group_attention)
AttentionMaskInterface.register(PACKED_GROUP, sdpa_mask)
