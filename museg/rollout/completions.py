"""Completions and groups: what the generators sample and the learner learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """How completions are drawn; the learner's logprobs are of this same distribution."""

    num_completions: int
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled answer."""

    token_ids: tuple[int, ...]
    """Includes the stop token when `finish_reason` is `stop`."""
    logprobs: tuple[float, ...]
    """The engine's own, natural log, one per token, of the distribution that was sampled from:
    temperature applied, vision placeholders excluded."""
    text: str
    """Without special tokens."""
    finish_reason: Literal["stop", "length"]
    weights_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The G completions of one prompt with their rewards and advantages."""

    sample: Sample
    prompt: str
    """Chat-formatted text with one `<|video_pad|>` placeholder."""
    completions: tuple[Completion, ...]
    rewards: tuple[RewardBreakdown, ...]
    advantages: tuple[float, ...]
