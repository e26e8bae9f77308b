"""What a skipped step leaves behind, for whoever looks for the cause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from actors.learner.stats import DemonstrationStats, GroupStats, SkipReason
from actors.records import rollout_rows
from actors.rollout.flat_groups import Harvest
from actors.supervised.lesson import Lesson


def bad_step_rows(
    step: int, harvest: Harvest, group_stats: Sequence[GroupStats], reason: SkipReason
) -> Iterator[dict[str, object]]:
    """One row a completion: that of rollouts/, with prompt, logprobs, its group's loss, and what wasn't finite.

    JSON has no numbers that aren't finite: they are the strings "nan", "inf" and "-inf".
    """
    stats_of = dict(zip(harvest.learned, group_stats, strict=True))
    rows = rollout_rows(step, harvest, group_stats)
    for place, rollout in enumerate(harvest.rollouts):
        loss = stats_of[place].loss if place in stats_of else None
        for completion in rollout.group.completions:
            row = next(rows) | {"prompt": rollout.group.prompt, "logprobs": completion.logprobs, "loss": loss}
            yield _explained(row, reason)


def bad_lesson_rows(
    step: int, lessons: Sequence[Lesson], stats: Sequence[DemonstrationStats], reason: SkipReason
) -> Iterator[dict[str, object]]:
    """The same of a supervised step: one row a demonstration."""
    for lesson, told in zip(lessons, stats, strict=True):
        one = lesson.demonstration
        row = {"step": step, "idx": one.idx, "video": one.video, "prompt": one.prompt, "target_ids": one.target_ids}
        yield _explained({**row, "loss": told.loss}, reason)


def _explained(row: Mapping[str, object], reason: SkipReason) -> dict[str, object]:
    not_finite = [key for key, value in row.items() if _not_finite(value)]
    return {key: _spelled(value) for key, value in row.items()} | {"reason": str(reason), "not_finite": not_finite}


def _not_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_not_finite, value.values()))
    if isinstance(value, tuple | list):
        return any(map(_not_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


def _spelled(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_spelled(inner) for inner in value]
    return str(value) if _not_finite(value) else value
