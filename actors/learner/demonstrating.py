"""One demonstration's forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from actors.learner.stats import DemonstrationStats
from museg.policy.inputs import PromptEncoder
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.sft.demonstrations import Demonstration
from museg.sft.loss import supervised_loss
from museg.video.clip import VideoClip

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine


def demonstrated(
    engine: DeepSpeedEngine,
    encoder: PromptEncoder,
    demonstration: Demonstration,
    clip: VideoClip,
    forbidden_token_ids: Sequence[int],
) -> tuple[torch.Tensor, DemonstrationStats]:
    """The loss, differentiable, and the statistics of a demonstration under the current weights."""
    prompt = encoder.encode(demonstration.prompt, clip)
    packed = pack_groups([(prompt, [demonstration.target_ids])]).to(engine.device)
    [policy] = completion_logprobs(engine, packed, temperature=1.0, forbidden_token_ids=forbidden_token_ids)
    loss = supervised_loss(policy.logprobs, policy.mask)
    # One tensor, one transfer: on CUDA every separate read would wait for the device.
    value, entropy = torch.stack([loss.detach(), policy.entropies.mean()]).tolist()
    return loss, DemonstrationStats(loss=value, entropy=entropy, num_tokens=len(demonstration.target_ids))
