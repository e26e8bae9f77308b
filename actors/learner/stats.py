"""What the learner tells of its work, and the error for work that went wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from museg.errors import UserError


class DivergedError(UserError):
    """Numbers went so wrong that a run ends; the message names the step and what is likely to blame."""

    def __init__(self, message: str, state_of_step: int = 0) -> None:
        """`state_of_step`: the learner stands as after that step, in weights, optimizer and schedule."""
        super().__init__(message)
        self.state_of_step = state_of_step


class SkipReason(StrEnum):
    """Why an update was not applied: weights and optimizer are as before it."""

    loss = "a loss or logprob isn't finite"
    gradient = "the gradient isn't finite"
    logprob_gap = "generator and learner don't compute the same policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobGap:
    """|learner's − engine's logprob| over one completion's tokens, in nats."""

    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceStats:
    """Weights of truncated importance sampling over a group's tokens."""

    mean: float
    capped_fraction: float
    """Share of the tokens whose weight the cap cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStats:
    """One group's part of a step's metrics."""

    loss: float
    """The group's share of the step's loss times the number of groups: a step's loss is the mean over its groups."""
    kl: float
    """Estimated divergence from the reference policy, nats a token; 0 where `grpo.kl_beta` is 0."""
    entropy: float
    """Nats, mean over the group's tokens."""
    clip_fraction: float
    """Share of the ratios, `num_ratios`, that clipping held back; 0 with one update a rollout."""
    num_ratios: int
    """The group's tokens, or its completions where each has one ratio (`grpo.ratio`)."""
    importance: ImportanceStats | None
    """Only with `grpo.importance_cap`."""
    logprob_gap_mean: float
    """Mean over the group's tokens of |learner's − engine's logprob|."""
    logprob_gap_max: float
    completion_gaps: tuple[LogprobGap, ...]
    """The same of each completion, in the group's order."""
    num_tokens: int
    """Completion tokens of the group; prompt not counted."""

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.logprob_gap_mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationStats:
    """One demonstration's part of a supervised step's metrics."""

    loss: float
    """Mean negative log-probability of the target's tokens, nats; a step's loss is the mean over its demonstrations."""
    entropy: float
    """Nats, mean over the target's tokens."""
    num_tokens: int
    """Tokens of the target; prompt not counted."""

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """One optimizer step, as one rank tells it or as all do together; ranks agree on the first three."""

    step: int
    """GRPO steps since the optimizer's start, this one included; resumed with the state."""
    grad_norm: float
    """Global L2 norm of the step's gradient before clipping; 0 where the update was skipped."""
    lr: float
    """That this step used."""
    seconds: float
    """Of the optimizer step, reductions between ranks included; the slowest rank's."""
    busy_s: tuple[float, ...]
    """Seconds of each rank's micro-batches. It waits for other ranks in between, and that isn't counted."""
    num_micro_batches: int
    """Forwards with their backwards."""
    num_tokens: int
    """That these went over: prompts, once each, and what follows them."""
    skipped: SkipReason | None = None
    """Of the step's last update; those after it were left out."""
