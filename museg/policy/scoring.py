"""The language model's head where only the log-probabilities of given tokens are wanted, not the logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

CHUNK_ROWS = 512
"""Tokens whose logits exist at a time: at the published vocabulary 0.3 GB in float32."""


class ScoringHead(torch.nn.Linear):
    """A head without bias that can score tokens; called without targets it gives logits, as any head.

    Scoring is one call of the module, however many chunks it takes, so that ZeRO-3 gathers the weight once for the
    forward and once for the backward pass.
    """

    def forward(
        self,
        input: torch.Tensor,
        targets: torch.Tensor | None = None,
        *,
        temperature: float = 1.0,
        forbidden_token_ids: tuple[int, ...] = (),
    ) -> Any:
        """Logits of hidden states, or with `targets` `[N]` what `_ChunkedScores` gives of `[N, h]`."""
        if targets is None:
            return super().forward(input)
        forbidden = torch.tensor(forbidden_token_ids, dtype=torch.int64, device=input.device)
        return _ChunkedScores.apply(input, self.weight, targets, temperature, forbidden)


class _ChunkedScores(torch.autograd.Function):
    """Log-probabilities `[N]` of targets and entropies `[N]` (without gradient), in float32, a chunk of rows at a time.

    The backward pass computes each chunk's logits again. d logprob / d logits is the target's one-hot minus the
    probabilities, over the temperature.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        forbidden: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs, entropies, normalizers = hidden.new_empty(3, len(targets), dtype=torch.float32)
        for rows in _chunks(len(targets)):
            logits = _sampled_logits(hidden[rows], weight, temperature, forbidden)
            normalizers[rows] = logits.logsumexp(dim=1)
            logits -= normalizers[rows].unsqueeze(1)
            logprobs[rows] = logits.gather(1, targets[rows].unsqueeze(1)).squeeze(1)
            entropies[rows] = torch.special.entr(logits.exp_()).sum(dim=1)
        ctx.save_for_backward(hidden, weight, targets, normalizers, forbidden)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(
        ctx: Any, grad_logprobs: torch.Tensor, _: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None, None, None, None]:
        hidden, weight, targets, normalizers, forbidden = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for rows in _chunks(len(targets)):
            grads = grad_logprobs[rows].unsqueeze(1)
            logits = _sampled_logits(hidden[rows], weight, ctx.temperature, forbidden)
            logits.sub_(normalizers[rows].unsqueeze(1)).exp_().mul_(-grads)
            logits.scatter_add_(1, targets[rows].unsqueeze(1), grads).index_fill_(1, forbidden, 0.0)
            grad_logits = logits.mul_(1.0 / ctx.temperature).to(weight.dtype)
            torch.mm(grad_logits, weight, out=grad_hidden[rows])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.T, hidden[rows])
        return grad_hidden, grad_weight, None, None, None


def _sampled_logits(
    hidden: torch.Tensor, weight: torch.Tensor, temperature: float, forbidden: torch.Tensor
) -> torch.Tensor:
    """Float32 logits `[n, V]` of the distribution that the engine samples from; a fresh tensor."""
    logits = torch.mm(hidden, weight.T).float()
    return logits.div_(temperature).index_fill_(1, forbidden, -torch.inf)


def _chunks(num_rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, CHUNK_ROWS):
        yield slice(start, start + CHUNK_ROWS)
