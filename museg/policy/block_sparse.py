"""Packed attention on CUDA: flex attention over the blocks of tokens that see each other. Not run on a GPU yet."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

if TYPE_CHECKING:
    from collections.abc import Callable


def packed_block_mask(group: torch.Tensor, piece: torch.Tensor, *, compiled: bool = True) -> BlockMask:
    """Which blocks of a pack see which, made once for all layers.

    Args:
        group: `[S]`, number of each token's group.
        piece: `[S]`, 0 in a prompt, and within a group the number from 1 of each token's completion.
        compiled: never hold the `[S, S]` mask, as the compiled kernel doesn't; the CPU needs it for tests alone.
    """

    def sees(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        same_piece = (piece[key] == 0) | (piece[key] == piece[query])
        return (key <= query) & (group[key] == group[query]) & same_piece

    length = group.shape[0]
    make = _compiled_create_block_mask() if compiled else create_block_mask
    return make(sees, None, None, length, length, device=group.device)


def block_sparse_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, block_mask: BlockMask, scaling: float | None
) -> torch.Tensor:
    """`[1, S, heads, D]` from `[1, heads, S, D]`; there may be fewer key than query heads."""
    attend: Callable[..., torch.Tensor] = flex_attention
    if query.is_cuda:
        attend = _compiled_flex_attention()
    return attend(query, key, value, block_mask=block_mask, scale=scaling, enable_gqa=True).transpose(1, 2)


@cache
def _compiled_flex_attention() -> Callable[..., torch.Tensor]:
    # Dynamic, or every length of a pack would be compiled anew.
    return torch.compile(flex_attention, dynamic=True)


@cache
def _compiled_create_block_mask() -> Callable[..., BlockMask]:
    return torch.compile(create_block_mask, dynamic=True)
