"""Log-probabilities of completions under the distribution they were sampled from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

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
    model: Callable[..., tuple[torch.Tensor, torch.Tensor]],
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
    logprobs, entropies = model(packed=packed, temperature=temperature, forbidden_token_ids=tuple(forbidden_token_ids))
    sizes = [span.num_completion_tokens for span in packed.layout.spans]
    return [
        CompletionLogprobs(logprobs=_unpack(of_tokens, mask), entropies=_unpack(of_draws, mask), mask=mask)
        for of_tokens, of_draws, mask in zip(logprobs.split(sizes), entropies.split(sizes), packed.masks, strict=True)
    ]


def _unpack(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`[N]` values at the true places of `[G, C]`, zeros elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
