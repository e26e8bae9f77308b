"""Packing: a group's prompt and completions as one sequence `[prompt, c1 … cG]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from museg.policy.attention import PackedLayout
from museg.policy.inputs import PromptInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedGroup:
    """What the model takes for one group, and where to find its completions' tokens.

    Letters: T prompt tokens, G completions, C tokens of the longest completion, N completion tokens in all, S = T + N.
    """

    input_ids: torch.Tensor
    """`[1, S]`."""
    positions: torch.Tensor
    """`[3, 1, S]`; every completion starts at the prompt's `next_position`."""
    pixel_values: torch.Tensor
    """`[patches, D]`, once for the group."""
    embeddings: torch.Tensor | None
    grid_thw: torch.Tensor
    """`[1, 3]`."""
    layout: PackedLayout
    predicting: torch.Tensor
    """`[N]`, for each completion token the index in S of the token before it, whose logits predict it. All first tokens
    share the last prompt token's."""
    targets: torch.Tensor
    """`[N]`, the completion tokens, one completion after another."""
    mask: torch.Tensor
    """Bool `[G, C]`, true at tokens and false at padding."""

    def to(self, device: torch.device) -> PackedGroup:
        """The same group on another device."""
        layout = replace(
            self.layout,
            padded_from_packed=self.layout.padded_from_packed.to(device),
            packed_from_padded=self.layout.packed_from_padded.to(device),
            visible=self.layout.visible.to(device),
        )
        return PackedGroup(
            input_ids=self.input_ids.to(device),
            positions=self.positions.to(device),
            pixel_values=self.pixel_values.to(device),
            embeddings=None if self.embeddings is None else self.embeddings.to(device),
            grid_thw=self.grid_thw.to(device),
            layout=layout,
            predicting=self.predicting.to(device),
            targets=self.targets.to(device),
            mask=self.mask.to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedGroups:
    """What the model takes for several groups in one forward."""

    groups: tuple[PackedGroup, ...]

    def to(self, device: torch.device) -> PackedGroups:
        """The same groups on another device."""
        return PackedGroups(groups=tuple(group.to(device) for group in self.groups))


def pack_groups(groups: Sequence[tuple[PromptInputs, Sequence[Sequence[int]]]]) -> PackedGroups:
    """Pack prompts with their completions' tokens, each completion with the positions it would have alone.

    Raises:
        ValueError: there is no group, a group has no completion, or an empty one.
    """
    if not groups:
        raise ValueError("a pack needs at least one group")
    return PackedGroups(groups=tuple(_pack_group(prompt, completions) for prompt, completions in groups))


def _pack_group(prompt: PromptInputs, completions: Sequence[Sequence[int]]) -> PackedGroup:
    """Lay a prompt's completions behind it, each with the positions it would have alone.

    Raises:
        ValueError: there is no completion, or an empty one.
    """
    lengths = [len(completion) for completion in completions]
    if not lengths or min(lengths) == 0:
        raise ValueError(f"a group needs completions of at least one token each (got lengths {lengths})")
    num_prompt, longest, targets = prompt.num_tokens, max(lengths), torch.tensor([t for c in completions for t in c])
    # Index within its completion of each of the N tokens.
    within = torch.cat([torch.arange(length) for length in lengths])
    # `[G, 1]`, index among the N of each completion's first token.
    starts = torch.tensor([0, *accumulate(lengths)][:-1]).unsqueeze(1)
    slots = torch.arange(longest)
    mask = slots < torch.tensor(lengths).unsqueeze(1)
    layout = PackedLayout(
        num_prompt_tokens=num_prompt,
        padded_from_packed=starts + torch.where(mask, slots, 0),
        packed_from_padded=mask.flatten().nonzero().squeeze(1),
        visible=torch.ones(longest, num_prompt + longest, dtype=torch.bool).tril(num_prompt),
    )
    own_positions = prompt.next_position + within
    index = num_prompt + torch.arange(len(targets))
    return PackedGroup(
        input_ids=torch.cat([prompt.input_ids, targets]).unsqueeze(0),
        positions=torch.cat([prompt.positions, own_positions.expand(3, -1)], dim=1).unsqueeze(1),
        pixel_values=prompt.pixel_values,
        embeddings=prompt.embeddings,
        grid_thw=prompt.grid_thw,
        layout=layout,
        predicting=torch.where(within == 0, num_prompt - 1, index - 1),
        targets=targets,
        mask=mask,
    )
