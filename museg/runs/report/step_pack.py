"""One step's groups packed for the page: all numbers as columns, the texts of as many groups as there is room for."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from museg.rewards.answers import predicted_segments
from museg.runs.report.rollouts import RecordedCompletion, RecordedGroup, RecordedSample

COMPRESSION = 6
_DECIMALS = 3
"""Of rewards and advantages."""
_TIME_DECIMALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPack:
    """What the page knows of a step at once (the columns, one entry a group), and what it unpacks when asked."""

    step: int
    samples: tuple[int, ...]
    """Number of each group's sample in the page's list."""
    reward_means: tuple[float, ...]
    reward_stds: tuple[float, ...]
    num_texts: int
    """Groups whose texts are kept."""
    packed: bytes
    """Gzipped JSON: `{"parts", "finishes", "groups": [{"r", "a", "p", "n", "f", "g", "y", "t"}]}`; see `_columns`."""


def pack_step(
    step: int, groups: Sequence[RecordedGroup], number_of: Callable[[RecordedSample], int], *, num_characters: int
) -> StepPack:
    """Pack the groups of a step, with texts of about `num_characters` at most.

    Texts are kept of whole groups: the worst, the best, the most disputed, then the others by dispute.
    """
    means = [group.reward_mean for group in groups]
    stds = [group.reward_std for group in groups]
    kept = _with_texts(groups, means, stds, num_characters)
    completions = [completion for group in groups for completion in group.completions]
    parts = list(dict.fromkeys(name for completion in completions for name in completion.rewards))
    finishes = list(dict.fromkeys(completion.finish_reason for completion in completions))
    content = {
        "parts": parts,
        "finishes": finishes,
        "groups": [
            _columns(group.completions, parts, finishes, keeps_text=place in kept) for place, group in enumerate(groups)
        ],
    }
    return StepPack(
        step=step,
        samples=tuple(number_of(group.sample) for group in groups),
        reward_means=tuple(round(mean, _DECIMALS) for mean in means),
        reward_stds=tuple(round(std, _DECIMALS) for std in stds),
        num_texts=len(kept),
        packed=gzip.compress(msgspec.json.encode(content), COMPRESSION, mtime=0),
    )


def _with_texts(
    groups: Sequence[RecordedGroup], means: Sequence[float], stds: Sequence[float], num_characters: int
) -> set[int]:
    """Places of the groups whose texts have room, the most telling first."""
    if not groups:
        return set()
    places = range(len(groups))
    extremes = [
        min(places, key=lambda place: means[place]),
        max(places, key=lambda place: means[place]),
        max(places, key=lambda place: stds[place]),
    ]
    by_dispute = sorted(places, key=lambda place: -stds[place])
    kept: set[int] = set()
    for place in dict.fromkeys([*extremes, *by_dispute]):
        if groups[place].num_characters <= num_characters:
            kept.add(place)
            num_characters -= groups[place].num_characters
    return kept


def _columns(
    completions: Sequence[RecordedCompletion], parts: Sequence[str], finishes: Sequence[str], *, keeps_text: bool
) -> dict[str, object]:
    """A group's completions: `r`ewards, `a`dvantages, `p`arts of the reward (a list each), `n`umber of tokens, `f`inish
    reasons (numbers of the step's), largest logprob `g`ap, `y`: predicted start, end, start, …, and `t`exts."""
    columns: dict[str, object] = {
        "r": [round(completion.reward, _DECIMALS) for completion in completions],
        "a": [round(completion.advantage, _DECIMALS) for completion in completions],
        "p": [[_rounded(completion.rewards.get(part)) for completion in completions] for part in parts],
        "n": [completion.num_tokens for completion in completions],
        "f": [finishes.index(completion.finish_reason) for completion in completions],
        "g": [_two_digits(completion.logprob_gap_max) for completion in completions],
        "y": [_times(completion) for completion in completions],
    }
    return columns | {"t": [completion.completion for completion in completions]} if keeps_text else columns


def _times(completion: RecordedCompletion) -> list[float]:
    segments = predicted_segments(completion.completion)
    return [round(time_s, _TIME_DECIMALS) for segment in segments for time_s in segment]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)


def _two_digits(gap: float | None) -> float | None:
    return None if gap is None else float(f"{gap:.1e}")
