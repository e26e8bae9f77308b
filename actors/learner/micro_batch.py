"""Several prompts with what follows each, as one forward takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from museg.policy.inputs import PromptEncoder
from museg.policy.packing import PackedGroups, pack_groups
from museg.policy.vision import EmbeddedVideo
from museg.video.clip import VideoClip


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCompletions:
    """A prompt and what is learned to follow it: sampled completions, or the one target of a demonstration."""

    prompt: str
    """Chat-formatted text with one `<|video_pad|>`."""
    clip: VideoClip | EmbeddedVideo
    completions: Sequence[Sequence[int]]
    """Token ids of each."""


def packed_micro_batch(
    encoder: PromptEncoder, prompts: Sequence[PromptCompletions], device: torch.device
) -> PackedGroups:
    """The prompts, encoded, with what follows them as one sequence."""
    return pack_groups([(encoder.encode(one.prompt, one.clip), one.completions) for one in prompts]).to(device)
