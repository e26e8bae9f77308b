"""The vision tower's two slow places, made fast: windows one by one, and patches embedded by a convolution."""

from __future__ import annotations

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLVisionAttention,
    apply_rotary_pos_emb_vision,
)


class WindowAttention(Qwen2_5_VLVisionAttention):
    """The tower's attention with all windows of a length as one batch.

    Transformers calls SDPA for each window by itself, and a minute of video has hundreds in every block.
    """

    def forward(
        self,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **kwargs: object,
    ) -> torch.Tensor:
        """`[N, width]` of N patches, those of a window from one of `cu_seqlens` to the next."""
        num_patches = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).view(num_patches, 3, self.num_heads, -1).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        bounds = cu_seqlens.cpu()
        lengths = bounds.diff()
        if (lengths == lengths[0]).all():
            attended = self._attend(*(rows.unflatten(0, (len(lengths), -1)) for rows in (query, key, value)))
        else:
            # Per length L that windows have `[n, L]`, the patches of its n windows.
            windows = [bounds[:-1][lengths == length, None] + torch.arange(length) for length in lengths.unique()]
            order = torch.cat([patches.flatten() for patches in windows]).to(hidden_states.device)
            batches = zip(
                *(rows[order].split([patches.numel() for patches in windows]) for rows in (query, key, value)),
                strict=True,
            )
            attended = torch.cat(
                [
                    self._attend(*(rows.unflatten(0, patches.shape) for rows in batch))
                    for patches, batch in zip(windows, batches, strict=True)
                ]
            )[order.argsort()]
        return self.proj(attended)

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """`[n · L, width]` from `[n, L, heads, D]`, every window by itself."""
        query, key, value = (rows.transpose(1, 2) for rows in (query, key, value))
        attended = scaled_dot_product_attention(query, key, value, scale=self.scaling)
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)


class PatchProjection(torch.nn.Conv3d):
    """A convolution over patches that it doesn't overlap, as the one matrix product that it is."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`[N, width]` of N patches `[N, channels, time, height, width]`."""
        return linear(input.flatten(1), self.weight.flatten(1))


def quicken(tower: Qwen2_5_VisionTransformerPretrainedModel) -> None:
    """Put both in place of transformers' own, with parameters of the same names and shapes, freshly initialised."""
    own = tower.patch_embed.proj
    tower.patch_embed.proj = PatchProjection(
        own.in_channels, own.out_channels, kernel_size=own.kernel_size, stride=own.stride, bias=False
    )
    for block in tower.blocks:
        block.attn = WindowAttention(tower.config)
