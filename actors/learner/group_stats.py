"""Figures of the groups of one forward, read from the device at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch

from actors.learner.stats import GroupStats, ImportanceStats, LogprobGap
from museg.config.choices import RatioLevel
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import GRPOLoss
from museg.grpo.variants import LossSettings
from museg.policy.logprobs import CompletionLogprobs
from museg.rollout.completions import Group


def figures_of_group(policy: CompletionLogprobs, engine_logprobs: torch.Tensor, loss: GRPOLoss) -> torch.Tensor:
    """What `group_stats` reads, on the device: `[8 + 2G]`.

    Args:
        policy: the group's tokens under the current weights.
        engine_logprobs: as the engine told them, `[G, C]`.
        loss: the group's.
    """
    gaps = (policy.logprobs.detach() - engine_logprobs).abs().masked_fill(~policy.mask, 0.0)
    lengths = policy.mask.sum(dim=1)
    num_tokens = lengths.sum()
    of_group = (
        loss.loss.detach(),
        loss.kl,
        policy.entropies.sum() / num_tokens,
        loss.clip_fraction,
        loss.importance_mean,
        loss.importance_capped_fraction,
        gaps.sum() / num_tokens,
        num_tokens,
    )
    return torch.cat([torch.stack(of_group), gaps.sum(dim=1) / lengths, gaps.amax(dim=1)])


def group_stats(figures: Sequence[torch.Tensor], settings: LossSettings, totals: StepTotals) -> list[GroupStats]:
    """Statistics of a micro-batch's groups, in order."""
    # One tensor, one transfer: on CUDA every separate read would wait for the device.
    values = iter(torch.cat(tuple(figures)).tolist())
    return [_read(list(islice(values, len(of_group))), settings, totals) for of_group in figures]


def _read(figures: Sequence[float], settings: LossSettings, totals: StepTotals) -> GroupStats:
    loss, kl, entropy, clip_fraction, importance, capped, gap_mean, num_tokens = figures[:8]
    num_completions = (len(figures) - 8) // 2
    means, maxima = figures[8:-num_completions], figures[-num_completions:]
    return GroupStats(
        loss=totals.num_groups * loss,
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
