"""What a micro-batch of groups adds to a step's loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from actors.learner.group_stats import engine_logprobs, figures_of_group, group_stats
from actors.learner.stats import GroupStats
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import grpo_loss
from museg.grpo.variants import LossSettings
from museg.policy.logprobs import CompletionLogprobs
from museg.rollout.completions import Group


def group_losses(
    groups: Sequence[Group],
    policy: Sequence[CompletionLogprobs],
    reference: Sequence[torch.Tensor | None],
    old: Sequence[torch.Tensor | None],
    settings: LossSettings,
    totals: StepTotals,
) -> tuple[torch.Tensor, list[GroupStats]]:
    """The groups' summed addend of the step's loss, differentiable, and the statistics of each.

    Args:
        groups: of one micro-batch.
        policy: their tokens under the current weights.
        reference: logprobs `[G, C]` under the reference; None leaves a group's KL term out.
        old: logprobs `[G, C]` before the step's first update; None in that update.
        settings: of the variant.
        totals: of the step.
    """
    losses, figures = [], []
    for group, scored, held, before in zip(groups, policy, reference, old, strict=True):
        engine = engine_logprobs(group, like=scored.logprobs)
        loss = grpo_loss(
            settings,
            logprobs=scored.logprobs,
            mask=scored.mask,
            advantages=torch.tensor(group.advantages, device=scored.logprobs.device),
            totals=totals,
            old_logprobs=before,
            engine_logprobs=engine,
            reference_logprobs=held,
        )
        losses.append(loss.loss)
        figures.append(figures_of_group(scored, engine, loss))
    return torch.stack(losses).sum(), group_stats(figures, settings, totals)
