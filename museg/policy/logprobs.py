"""Log-probabilities of completions under the distribution they were sampled from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from museg.policy.packing import PackedGroups


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionLogprobs:
    """Per completion token; G completions, C tokens of the longest, zero at padding."""

    logprobs: torch.Tensor
    """Natural log, float32 `[G, C]`, differentiable."""
    entropies: torch.Tensor
    """Entropy in nats of the distribution that each token was drawn from, float32 `[G, C]`, without gradient."""
    mask: torch.Tensor
    """Bool `[G, C]`, true at tokens."""


def completion_logprobs(
    model: Qwen2_5_VLForConditionalGeneration,
    packed: PackedGroups,
    *,
    temperature: float,
    forbidden_token_ids: Sequence[int],
) -> list[CompletionLogprobs]:
    """Score packed groups in one forward: tower once a video, each prompt once, logits at completion tokens alone.

    The distribution is the engine's: softmax in float32 over logits divided by the temperature, forbidden tokens at
    minus infinity. A completion that holds a forbidden token scores minus infinity there.

    Args:
        model: as `load_policy` gives it, or an engine around it that passes calls on (DeepSpeed).
        packed: on the model's device.
        temperature: that the completions were sampled at.
        forbidden_token_ids: that the engine excluded.

    Returns:
        One entry a group, in the pack's order.
    """
    scored = []
    for group in packed.groups:
        seen = (
            {"pixel_values_videos": group.pixel_values}
            if group.embeddings is None
            else {"mm_encoder_outputs": {"video": BaseModelOutputWithPooling(pooler_output=(group.embeddings,))}}
        )
        output = model(
            input_ids=group.input_ids,
            position_ids=group.positions,
            video_grid_thw=group.grid_thw,
            logits_to_keep=group.predicting,
            packed_layout=group.layout,
            use_cache=False,
            **seen,
        )
        logprobs, entropies = sampling_logprobs(
            output.logits[0], group.targets, temperature=temperature, forbidden_token_ids=forbidden_token_ids
        )
        scored.append(
            CompletionLogprobs(
                logprobs=_unpack(logprobs, group.mask), entropies=_unpack(entropies, group.mask), mask=group.mask
            )
        )
    return scored


def sampling_logprobs(
    logits: torch.Tensor, targets: torch.Tensor, *, temperature: float, forbidden_token_ids: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of `targets` `[N]` and detached entropies `[N]` for logits `[N, V]`, in float32."""
    logits = logits.float() / temperature
    if forbidden_token_ids:
        logits = logits.index_fill(1, torch.tensor(forbidden_token_ids, device=logits.device), -torch.inf)
    log_normalizer = logits.logsumexp(dim=-1)
    logprobs = logits.gather(1, targets.unsqueeze(1)).squeeze(1) - log_normalizer
    with torch.no_grad():
        entropies = torch.special.entr((logits - log_normalizer.unsqueeze(1)).exp()).sum(dim=-1)
    return logprobs, entropies


def _unpack(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`[N]` values at the true places of `[G, C]`, zeros elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
