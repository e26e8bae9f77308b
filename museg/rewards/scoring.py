"""Scores of a completion, by reward name and in total."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from museg.config.choices import OnRewardError
from museg.config.schema import RewardConfig
from museg.data.samples import Sample
from museg.errors import ConfigError, RewardError
from museg.rewards.answers import ParsedAnswer, parse_answer
from museg.rewards.format import format_reward, tiered_format, timestamp_reward
from museg.rewards.functions import NotFiniteError, UserReward, load_user_reward
from museg.rewards.rules import RewardRules, rules_of
from museg.rewards.segment_matching import match_segments
from museg.video.clip import ClipFacts

REWARD_NAMES = (
    "format",
    "format_n_timestamp",
    "timestamp",
    "global_matching",
    "local_matching",
    "segment_matching",
)
"""What `reward.functions` may name beside functions of the user's own."""

RESERVED_NAMES = (*REWARD_NAMES, "mean", "std", "failures")
"""Names under `reward/` in the metrics that are taken."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBreakdown:
    """Every reward of one completion and the weighted sum that GRPO maximises."""

    values: Mapping[str, float]
    total: float
    failures: tuple[str, ...] = ()
    """Reward functions that failed and were scored 0 (reward.on_error=zero)."""


class Scorer:
    """Scores completions by one configuration's rules, functions and weights. Pure but for its log: calling again
    gives the same."""

    def __init__(
        self,
        rules: RewardRules,
        weights: Mapping[str, float],
        user_rewards: Sequence[UserReward],
        on_error: OnRewardError,
        *,
        guarded: bool = False,
    ) -> None:
        self.rules = rules
        self.weights = dict(weights)
        """Reward name → weight, of the rewards that GRPO maximises."""
        self.user_rewards = tuple(user_rewards)
        self.on_error = on_error
        self.guarded = guarded
        """Whoever takes the scores looks for values that aren't finite: under `on_error=error` they pass."""
        self._warned_of: set[str] = set()

    @classmethod
    def from_config(cls, reward: RewardConfig, *, guarded: bool = False) -> Scorer:
        """Raises ConfigError for a reward that there isn't, can't be imported, or whose name is taken."""
        weights: dict[str, float] = {}
        user_rewards = []
        for function in reward.functions:
            name = function
            if ":" in function:
                user_rewards.append(load_user_reward(function))
                name = user_rewards[-1].name
                if name in RESERVED_NAMES:
                    raise ConfigError(f"reward.functions names {function!r}, but 'reward/{name}' is taken: rename it")
            elif function not in REWARD_NAMES:
                raise _unknown(function)
            if name in weights:
                raise ConfigError(f"reward.functions names {name!r} twice: name each reward once, or rename one")
            weights[name] = reward.weights.get(function, reward.weights.get(name, 1.0))
        return cls(rules_of(reward), weights, user_rewards, reward.on_error, guarded=guarded)

    def score(self, text: str, sample: Sample, clip: ClipFacts | None = None) -> RewardBreakdown:
        """All rewards of one completion and their weighted sum.

        Ranges: format, format_n_timestamp, timestamp and local_matching 0 to 1; global_matching 0 to 1, or above for
        nested annotations that the rules don't merge; segment_matching is the sum of these two or their mean. The
        user's own are as they come, but finite unless the scorer is `guarded`.

        Raises:
            RewardError: a function of the user's failed and `reward.on_error` is `error`.
        """
        return self.score_answer(parse_answer(text), sample, clip)

    def score_answer(self, answer: ParsedAnswer, sample: Sample, clip: ClipFacts | None = None) -> RewardBreakdown:
        """`score` of a completion that is already parsed."""
        values = self._own_rewards(answer, sample, clip)
        failures = []
        for reward in self.user_rewards:
            try:
                values[reward.name] = reward.value(answer, sample, clip)
            except RewardError as error:
                if self.guarded and isinstance(error, NotFiniteError) and self.on_error is OnRewardError.error:
                    values[reward.name] = error.value
                    continue
                if self.on_error is OnRewardError.error:
                    raise RewardError(f"{error}: mend it, or score 0 there with reward.on_error=zero") from error
                values[reward.name] = 0.0
                failures.append(reward.name)
                self._warn_once(reward, error)
        total = sum([weight * values[name] for name, weight in self.weights.items()])
        return RewardBreakdown(values=values, total=total, failures=tuple(failures))

    def _own_rewards(self, answer: ParsedAnswer, sample: Sample, clip: ClipFacts | None) -> dict[str, float]:
        end_s = clip.duration_s if clip is not None else sample.duration_s
        match = match_segments(answer.segments, sample.solution, self.rules, end_s)
        shape, timestamp = format_reward(answer), timestamp_reward(answer, self.rules.citations)
        return {
            "format": tiered_format(shape, timestamp) if self.rules.timestamp_tier else shape,
            "format_n_timestamp": shape,
            "timestamp": timestamp,
            "global_matching": match.globally,
            "local_matching": match.locally,
            "segment_matching": match.combined,
        }

    def _warn_once(self, reward: UserReward, error: RewardError) -> None:
        if reward.name not in self._warned_of:
            self._warned_of.add(reward.name)
            _log.warning("%s: scored 0 (told once; reward/failures counts)", error)


def _unknown(name: str) -> ConfigError:
    nearest = difflib.get_close_matches(name, REWARD_NAMES, n=1, cutoff=0.0)[0]
    return ConfigError(
        f"reward.functions names {name!r}, which isn't a reward: did you mean {nearest!r}? There are "
        f"{', '.join(REWARD_NAMES)}, and functions of your own as package.module:function"
    )
