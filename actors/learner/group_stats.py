"""Figures of one group's forward, read from the device at once."""

from __future__ import annotations

import torch

from actors.learner.stats import GroupStats, ImportanceStats, LogprobGap
from museg.config.choices import RatioLevel
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import GRPOLoss
from museg.grpo.variants import LossSettings
from museg.policy.logprobs import CompletionLogprobs
from museg.rollout.completions import Group


def group_stats(
    policy: CompletionLogprobs,
    engine_logprobs: torch.Tensor,
    loss: GRPOLoss,
    settings: LossSettings,
    totals: StepTotals,
) -> GroupStats:
    """Statistics of a group from its logprobs under the current weights, the engine's `[G, C]`, and its loss."""
    gaps = (policy.logprobs.detach() - engine_logprobs).abs().masked_fill(~policy.mask, 0.0)
    lengths = policy.mask.sum(dim=1)
    of_group = (
        totals.num_groups * loss.loss.detach(),
        loss.kl,
        policy.entropies.sum() / lengths.sum(),
        loss.clip_fraction,
        loss.importance_mean,
        loss.importance_capped_fraction,
        gaps.sum() / lengths.sum(),
        lengths.sum(),
    )
    # One tensor, one transfer: on CUDA every separate read would wait for the device.
    figures = torch.cat([torch.stack(of_group), gaps.sum(dim=1) / lengths, gaps.amax(dim=1)]).tolist()
    value, kl, entropy, clip_fraction, importance, capped, gap_mean, num_tokens = figures[: len(of_group)]
    num_completions = len(lengths)
    means, maxima = figures[len(of_group) : -num_completions], figures[-num_completions:]
    return GroupStats(
        loss=value,
        kl=kl,
        entropy=entropy,
        clip_fraction=clip_fraction,
        num_ratios=num_completions if settings.ratio is RatioLevel.sequence else int(num_tokens),
        importance=(
            None if settings.importance_cap is None else ImportanceStats(mean=importance, capped_fraction=capped)
        ),
        logprob_gap_mean=gap_mean,
        logprob_gap_max=max(maxima),
        completion_gaps=tuple(LogprobGap(mean=mean, max=maximum) for mean, maximum in zip(means, maxima, strict=True)),
        num_tokens=int(num_tokens),
    )


def engine_logprobs(group: Group, like: torch.Tensor) -> torch.Tensor:
    """The engine's logprobs `[G, C]`, zeros at padding, on the device and in the dtype of `like`."""
    rows = [torch.tensor(completion.logprobs) for completion in group.completions]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(like)
