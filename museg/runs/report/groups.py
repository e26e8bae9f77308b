"""Rollouts of a run, read back as groups, and the few of them that the report shows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from museg.data.samples import Segment
from museg.errors import DataError
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCompletion:
    """One line of a rollouts file, without what its group shares."""

    index: int
    text: str
    rewards: Mapping[str, float]
    reward: float
    advantage: float
    finish_reason: str
    num_tokens: int
    logprob_gap_max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedGroup:
    """A question and its G completions."""

    idx: int
    video: str
    problem: str
    solution: tuple[Segment, ...]
    duration_s: float | None
    completions: tuple[RecordedCompletion, ...]

    @property
    def reward_mean(self) -> float:
        return statistics.fmean(completion.reward for completion in self.completions)

    @property
    def reward_std(self) -> float:
        return statistics.pstdev(completion.reward for completion in self.completions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenGroup:
    """A group and why it is shown."""

    step: int
    reasons: tuple[str, ...]
    """Of `best`, `worst`, `most disputed`."""
    group: RecordedGroup


def choose_groups(run: RunDirectory) -> list[ChosenGroup]:
    """The best, the worst and the most disputed group of the first, the middle and the last step on record.

    Raises:
        DataError: a rollouts file is damaged.
    """
    steps = run.rollout_steps()
    chosen = []
    for step in dict.fromkeys([*steps[:1], *steps[len(steps) // 2 :][:1], *steps[-1:]]):
        groups = read_groups(run, step)
        if not groups:
            continue
        picks = {
            "best": max(groups, key=lambda group: group.reward_mean),
            "worst": min(groups, key=lambda group: group.reward_mean),
            "most disputed": max(groups, key=lambda group: group.reward_std),
        }
        for group in {id(pick): pick for pick in picks.values()}.values():
            reasons = tuple(reason for reason, pick in picks.items() if pick is group)
            chosen.append(ChosenGroup(step=step, reasons=reasons, group=group))
    return chosen


def read_groups(run: RunDirectory, step: int) -> list[RecordedGroup]:
    """The groups of `step`, in the order of its file.

    Raises:
        DataError: the file is damaged.
    """
    rows = run.read_rollouts(step)
    try:
        # A sample drawn twice in a row makes two groups: a group begins where its index starts again.
        starts = itertools.accumulate(
            (
                int(one["idx"] != last["idx"] or _int(one["index"]) <= _int(last["index"]))
                for last, one in itertools.pairwise(rows)
            ),
            initial=0,
        )
        numbered = itertools.groupby(zip(starts, rows, strict=True), key=lambda pair: pair[0]) if rows else ()
        return [_group([row for _, row in pairs]) for _, pairs in numbered]
    except (KeyError, TypeError, ValueError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{run.rollouts_file(step)}: a line isn't a completion ({problem}); remove the file") from error


def _group(rows: Sequence[Mapping[str, object]]) -> RecordedGroup:
    first = rows[0]
    duration = first["duration"]
    solution = cast(Sequence[Sequence[object]], first["solution"])
    return RecordedGroup(
        idx=_int(first["idx"]),
        video=str(first["video"]),
        problem=str(first["problem"]),
        solution=tuple((_float(start), _float(end)) for start, end in solution),
        duration_s=None if duration is None else _float(duration),
        completions=tuple(_completion(row) for row in rows),
    )


def _completion(row: Mapping[str, object]) -> RecordedCompletion:
    rewards = row["rewards"]
    if not isinstance(rewards, Mapping):
        raise TypeError(f"rewards {rewards!r} aren't an object")
    gap = row.get("logprob_gap_max")
    return RecordedCompletion(
        index=_int(row["index"]),
        text=str(row["completion"]),
        rewards={str(name): _float(value) for name, value in rewards.items()},
        reward=_float(row["reward"]),
        advantage=_float(row["advantage"]),
        finish_reason=str(row["finish_reason"]),
        num_tokens=_int(row["num_tokens"]),
        logprob_gap_max=None if gap is None else _float(gap),
    )


def _int(value: object) -> int:
    return int(_float(value))


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} isn't a number")
    return float(value)
