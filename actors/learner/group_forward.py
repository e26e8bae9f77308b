"""One group's forward, under the policy and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from museg.policy.inputs import PromptEncoder
from museg.policy.logprobs import CompletionLogprobs, completion_logprobs
from museg.policy.packing import pack_groups
from museg.rollout.completions import Group
from museg.video.clip import VideoClip

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine
    from transformers import Qwen2_5_VLForConditionalGeneration


def group_logprobs(
    engine: DeepSpeedEngine,
    reference: Qwen2_5_VLForConditionalGeneration | DeepSpeedEngine | None,
    encoder: PromptEncoder,
    group: Group,
    clip: VideoClip,
    *,
    temperature: float,
    forbidden_token_ids: Sequence[int],
) -> tuple[CompletionLogprobs, torch.Tensor | None]:
    """The group's tokens under the current weights, differentiable, and under the reference, where there is one."""
    prompt = encoder.encode(group.prompt, clip)
    packed = pack_groups([(prompt, [completion.token_ids for completion in group.completions])]).to(engine.device)
    held = None
    if reference is not None:
        with torch.no_grad():
            [reference_logprobs] = completion_logprobs(
                reference, packed, temperature=temperature, forbidden_token_ids=forbidden_token_ids
            )
            held = reference_logprobs.logprobs
    [policy] = completion_logprobs(engine, packed, temperature=temperature, forbidden_token_ids=forbidden_token_ids)
    return policy, held
