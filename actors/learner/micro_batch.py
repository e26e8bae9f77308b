"""Several prompts with what follows each, as one forward takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ray
import torch

from museg.policy.inputs import PromptEncoder
from museg.policy.packing import PackedGroups, pack_groups
from museg.policy.vision import EmbeddedVideo
from museg.rollout.completions import Group
from museg.sft.demonstrations import Demonstration
from museg.video.clip import VideoClip

Clip = VideoClip | EmbeddedVideo


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCompletions:
    """A prompt and what is learned to follow it: sampled completions, or the one target of a demonstration."""

    prompt: str
    """Chat-formatted text with one `<|video_pad|>`."""
    clip: Clip
    completions: Sequence[Sequence[int]]
    """Token ids of each."""


def prompts_of_groups(groups: Sequence[Group], clips: Sequence[Clip | ray.ObjectRef]) -> list[PromptCompletions]:
    """What the groups sampled, with their videos, which are fetched where they are references."""
    return [
        PromptCompletions(prompt=group.prompt, clip=clip, completions=[one.token_ids for one in group.completions])
        for group, clip in zip(groups, _loaded(clips), strict=True)
    ]


def prompts_of_demonstrations(
    demonstrations: Sequence[Demonstration], clips: Sequence[Clip | ray.ObjectRef]
) -> list[PromptCompletions]:
    """What is to be answered, with the videos, which are fetched where they are references."""
    return [
        PromptCompletions(prompt=one.prompt, clip=clip, completions=[one.target_ids])
        for one, clip in zip(demonstrations, _loaded(clips), strict=True)
    ]


def packed_micro_batch(
    encoder: PromptEncoder, prompts: Sequence[PromptCompletions], device: torch.device
) -> PackedGroups:
    """The prompts, encoded, with what follows them as one sequence."""
    return pack_groups([(encoder.encode(one.prompt, one.clip), one.completions) for one in prompts]).to(device)


def _loaded(clips: Sequence[Clip | ray.ObjectRef]) -> list[Clip]:
    return [ray.get(clip) if isinstance(clip, ray.ObjectRef) else clip for clip in clips]
