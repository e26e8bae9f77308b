"""Packing: groups of a prompt and its completions as one sequence `[prompt 1, completions 1, prompt 2, …]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, TypeVar

import torch

from museg.policy.attention import GroupSpan, PackedLayout
from museg.policy.block_sparse import packed_block_mask
from museg.policy.inputs import PromptInputs

_Packed = TypeVar("_Packed", "PackedGroups", PackedLayout)

PromptGroup = tuple[PromptInputs, Sequence[Sequence[int]]]
"""A prompt and the tokens of its completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedGroups:
    """What the model takes for several groups, and where to find their completions' tokens.

    Letters: S tokens in all, N completion tokens of all groups, V visual tokens of all videos, G completions of a
    group, C tokens of its longest.
    """

    input_ids: torch.Tensor
    """`[1, S]`."""
    positions: torch.Tensor
    """`[3, 1, S]`; every completion starts at its prompt's `next_position`."""
    pixel_values: torch.Tensor
    """`[patches, D]`, once a video; `[0, D]` where the tower is frozen."""
    embeddings: torch.Tensor | None
    """What a frozen tower made of the videos, `[V, h]`."""
    grid_thw: torch.Tensor
    """`[videos, 3]`."""
    videos: tuple[int, ...]
    """For each group which of the videos its prompt shows."""
    layout: PackedLayout
    predicting: torch.Tensor
    """`[N]`, for each completion token the index in S of the token before it, whose hidden state predicts it. All first
    tokens of a group share the last prompt token's."""
    targets: torch.Tensor
    """`[N]`, the completion tokens, one completion after another."""
    masks: tuple[torch.Tensor, ...]
    """Per group bool `[G, C]`, true at tokens and false at padding."""

    @property
    def num_tokens(self) -> int:
        """S."""
        return self.input_ids.shape[1]

    def to(self, device: torch.device) -> PackedGroups:
        """The same groups on another device; on CUDA with the mask of the blocks that see each other."""
        layout = _on(device, self.layout)
        if device.type == "cuda":
            layout = replace(layout, block_mask=packed_block_mask(layout.group, layout.piece))
        return replace(_on(device, self), layout=layout, masks=tuple(mask.to(device) for mask in self.masks))


def pack_groups(groups: Sequence[PromptGroup]) -> PackedGroups:
    """Lay groups one behind another, every completion with the positions that it would have alone.

    Prompts that show the same video share it.

    Raises:
        ValueError: there is no group, a group has no completion or an empty one, or videos are partly embedded.
    """
    prompts = [prompt for prompt, _ in groups]
    completions = [completion for _, of_group in groups for completion in of_group]
    if not groups or not all(of_group for _, of_group in groups) or not all(completions):
        raise ValueError("a pack needs groups, with completions of at least one token each")
    layout, within = _layout(
        [prompt.num_tokens for prompt in prompts], [[len(each) for each in of_group] for _, of_group in groups]
    )
    targets = torch.tensor(list(chain.from_iterable(completions)))
    in_prompt, own = layout.piece == 0, layout.own_rows
    input_ids = torch.empty_like(within)
    input_ids[in_prompt] = torch.cat([prompt.input_ids for prompt in prompts])
    input_ids[own] = targets
    positions = torch.tensor([prompt.next_position for prompt in prompts])[layout.group] + within
    positions = positions.repeat(3, 1)
    positions[:, in_prompt] = torch.cat([prompt.positions for prompt in prompts], dim=1)
    last_of_prompt = torch.tensor([span.prompt_end - 1 for span in layout.spans])
    shown, videos = _distinct_videos(prompts)
    return PackedGroups(
        input_ids=input_ids.unsqueeze(0),
        positions=positions.unsqueeze(1),
        pixel_values=torch.cat([prompt.pixel_values for prompt in shown]),
        embeddings=_embeddings(shown),
        grid_thw=torch.cat([prompt.grid_thw for prompt in shown]),
        videos=videos,
        layout=layout,
        predicting=torch.where(within[own] == 0, last_of_prompt[layout.group[own]], own - 1),
        targets=targets,
        masks=tuple(_mask([len(each) for each in of_group]) for _, of_group in groups),
    )


def _layout(prompt_lengths: Sequence[int], lengths: Sequence[Sequence[int]]) -> tuple[PackedLayout, torch.Tensor]:
    """The layout, and for each of the S tokens its index in its prompt or completion."""
    pieces = [
        (length, group, piece)
        for group, (of_prompt, of_group) in enumerate(zip(prompt_lengths, lengths, strict=True))
        for piece, length in enumerate([of_prompt, *of_group])
    ]
    length, group, piece = torch.tensor(pieces).T
    ends = length.cumsum(0)
    within = torch.arange(int(ends[-1])) - (ends - length).repeat_interleave(length)
    is_own = piece > 0
    mask = _mask(length[is_own].tolist())
    starts = (ends - length)[~is_own].tolist()
    spans = tuple(
        GroupSpan(start=start, num_prompt_tokens=of_prompt, num_completion_tokens=sum(of_group))
        for start, of_prompt, of_group in zip(starts, prompt_lengths, lengths, strict=True)
    )
    layout = PackedLayout(
        spans=spans,
        group=group.repeat_interleave(length),
        piece=piece.repeat_interleave(length),
        own_rows=is_own.repeat_interleave(length).nonzero().squeeze(1),
        padded_rows=(ends - length)[is_own].unsqueeze(1) + torch.where(mask, torch.arange(mask.shape[1]), 0),
        slots=mask.flatten().nonzero().squeeze(1),
        is_padding=~mask,
    )
    return layout, within


def _distinct_videos(prompts: Sequence[PromptInputs]) -> tuple[list[PromptInputs], tuple[int, ...]]:
    """One prompt for each different video, and for every prompt which of them shows its video."""
    shown: list[PromptInputs] = []
    videos = []
    for prompt in prompts:
        same = (number for number, other in enumerate(shown) if _shows_the_same(prompt, other))
        if (number := next(same, len(shown))) == len(shown):
            shown.append(prompt)
        videos.append(number)
    return shown, tuple(videos)


def _shows_the_same(prompt: PromptInputs, other: PromptInputs) -> bool:
    """Whether two prompts show the same frames; names are compared first, but alone could mislead."""
    if prompt.video != other.video or not torch.equal(prompt.grid_thw, other.grid_thw):
        return False
    if prompt.embeddings is None or other.embeddings is None:
        return torch.equal(prompt.pixel_values, other.pixel_values)
    return torch.equal(prompt.embeddings, other.embeddings)


def _embeddings(shown: Sequence[PromptInputs]) -> torch.Tensor | None:
    embeddings = [prompt.embeddings for prompt in shown if prompt.embeddings is not None]
    if embeddings and len(embeddings) < len(shown):
        raise ValueError("a pack holds either clips or videos that a frozen tower has embedded, not both")
    return torch.cat(embeddings) if embeddings else None


def _mask(lengths: Sequence[int]) -> torch.Tensor:
    """Bool, a row for each length: true at so many places."""
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def _on(device: torch.device, packed: _Packed) -> _Packed:
    """With all tensors that are fields themselves on a device."""
    moved: dict[str, Any] = {
        field.name: value.to(device)
        for field in fields(packed)
        if isinstance(value := getattr(packed, field.name), torch.Tensor)
    }
    return replace(packed, **moved)
