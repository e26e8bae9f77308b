"""Log-probabilities of a group's completions under the distribution they were sampled from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.policy.packing import PackedGroup


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
    packed: PackedGroup,
    *,
    temperature: float,
    forbidden_token_ids: Sequence[int],
) -> CompletionLogprobs:
    """Score a packed group in one forward: tower once, prompt once, logits at completion tokens alone.

    The distribution is the engine's: softmax in float32 over logits divided by the temperature, forbidden tokens at
    minus infinity. A completion that holds a forbidden token scores minus infinity there.

    Args:
        model: as `load_policy` gives it, or an engine around it that passes calls on (DeepSpeed).
        packed: on the model's device.
        temperature: that the completions were sampled at.
        forbidden_token_ids: that the engine excluded.
    """
    output = model(
        input_ids=packed.input_ids,
        position_ids=packed.positions,
        pixel_values_videos=packed.pixel_values,
        video_grid_thw=packed.grid_thw,
        logits_to_keep=packed.predicting,
        packed_layout=packed.layout,
        use_cache=False,
    )
    logprobs, entropies = sampling_logprobs(
        output.logits[0], packed.targets, temperature=temperature, forbidden_token_ids=forbidden_token_ids
    )
    return CompletionLogprobs(
        logprobs=_unpack(logprobs, packed.mask), entropies=_unpack(entropies, packed.mask), mask=packed.mask
    )


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
