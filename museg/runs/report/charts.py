"""Which curves of a run are worth a chart, and their values; the page draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

from museg.runs.report.record import RunRecord


class Kind(StrEnum):
    line = auto()
    log_line = auto()
    stack = auto()


class Room(StrEnum):
    """Section of the page that a chart belongs to."""

    learning = auto()
    service = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity at the steps of its chart; None where a step has none."""

    label: str
    values: tuple[float | None, ...]
    spread: tuple[float | None, ...] | None = None
    """Standard deviation around each value, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over common steps, 0 being the evaluation before the first."""

    title: str
    note: str
    kind: Kind
    room: Room
    steps: tuple[int, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    title: str
    note: str
    keys: Mapping[str, str]
    """Legend label → key of metrics.jsonl."""
    spread: str | None = None
    """Key of the deviation around the only series."""
    kind: Kind = Kind.line
    room: Room = Room.learning


def charts_of(record: RunRecord) -> list[Chart]:
    """The charts that the run has data for, in reading order."""
    rewards = {key.removeprefix("reward/"): key for key in _keys(record, "reward/")}
    for left_out in ("mean", "std", "failures"):
        rewards.pop(left_out, None)
    idle = {key.removeprefix("idle/"): key for key in _keys(record, "idle/")}
    plans = [
        *LEARNING[:1],
        _Plan(
            title="Reward by part",
            note="Means of a step's completions, also of parts that weigh nothing.",
            keys=rewards,
        ),
        *LEARNING[1:],
        *SERVICE,
        _Plan(
            title="Idle",
            note="Share of the step in which a worker waited for work.",
            keys=idle,
            room=Room.service,
        ),
        _Plan(
            title="Restarts",
            note="Workers that took another's place, so far in the run, by role.",
            keys=_replaced(record),
            room=Room.service,
        ),
    ]
    charts = (_chart(plan, record) for plan in plans)
    return [chart for chart in charts if chart is not None]


LEARNING = (
    _Plan(
        title="Reward",
        note="Mean of a step's completions, and their deviation.",
        keys={"reward": "reward/mean"},
        spread="reward/std",
    ),
    _Plan(
        title="Held-out mIoU",
        note="Blind: the same questions with the videos swapped; only the distance is grounding. "
        "Between start and end on eval.samples questions.",
        keys={"mIoU": "eval/miou", "blind": "eval/blind/miou"},
    ),
    _Plan(
        title="Held-out segment matching",
        note="The reward's own matching, on held-out questions.",
        keys={"matching": "eval/segment_matching", "blind": "eval/blind/segment_matching"},
    ),
    _Plan(
        title="Supervised loss",
        note="Nats a token of the target, mean of a step's samples.",
        keys={"loss": "sft/loss"},
    ),
    _Plan(
        title="KL to the reference",
        note="Nats a token (k3 estimate). A phase may have a reference of its own.",
        keys={"KL": "policy/kl"},
    ),
    _Plan(
        title="Entropy",
        note="Nats a token. A fall towards zero is a policy with one answer to every question.",
        keys={"entropy": "policy/entropy"},
    ),
    _Plan(title="Gradient norm", note="Before clipping.", keys={"norm": "policy/grad_norm"}),
    _Plan(
        title="Completion length",
        note="Mean tokens a completion.",
        keys={"tokens": "completion/tokens_mean"},
    ),
    _Plan(
        title="Groups without advantage",
        note="All completions earned the same reward: nothing to learn from.",
        keys={"groups": "advantage/zero_groups"},
    ),
)

SERVICE = (
    _Plan(
        title="Time of a step",
        note="Seconds by what the loop waited for, stacked.",
        keys={
            "video": "time/wait_video_s",
            "generate": "time/generate_s",
            "reward": "time/reward_s",
            "learn": "time/learn_s",
            "sync": "time/sync_s",
        },
        kind=Kind.stack,
        room=Room.service,
    ),
    _Plan(
        title="Tokens a second",
        note="All that was sampled (or, supervised, learned from), over the whole step.",
        keys={"tokens/s": "throughput/tokens_per_s"},
        room=Room.service,
    ),
    _Plan(
        title="Completions a second",
        note="All that was sampled, over the whole step.",
        keys={"completions/s": "throughput/completions_per_s"},
        room=Room.service,
    ),
    _Plan(
        title="Parity gap",
        note="Generator's against learner's logprobs of the same tokens, nats. In float32 the mean stays below 1e-4.",
        keys={"mean": "parity/logprob_gap_mean", "largest": "parity/logprob_gap_max"},
        kind=Kind.log_line,
        room=Room.service,
    ),
)


def _keys(record: RunRecord, prefix: str) -> list[str]:
    return list(dict.fromkeys(key for row in record.metrics for key in row if key.startswith(prefix)))


def _replaced(record: RunRecord) -> dict[str, str]:
    """Role → key of its count, for the roles of which a worker was replaced."""
    last = record.metrics[-1] if record.metrics else {}
    return {key.removeprefix("restarts/"): key for key in _keys(record, "restarts/") if last.get(key)}


def _chart(plan: _Plan, record: RunRecord) -> Chart | None:
    points = {label: _points(key, record) for label, key in plan.keys.items()}
    points = {label: values for label, values in points.items() if values}
    if not points:
        return None
    steps = sorted(set().union(*points.values()))
    spread = _points(plan.spread, record) if plan.spread else None
    return Chart(
        title=plan.title,
        note=plan.note,
        kind=plan.kind,
        room=plan.room,
        steps=tuple(steps),
        series=tuple(
            Series(
                label=label,
                values=tuple(values.get(step) for step in steps),
                spread=tuple(spread.get(step) for step in steps) if spread else None,
            )
            for label, values in points.items()
        ),
    )


def _points(key: str, record: RunRecord) -> dict[int, float]:
    """Step → value of `key`; evaluations also have those before the first step and after the last, of the summary."""
    points = {int(row["step"]): float(f"{row[key]:.5g}") for row in record.metrics if key in row}
    metric = key.removeprefix("eval/")
    if key.startswith("eval/") and metric in record.eval_before:
        points[0] = record.eval_before[metric]
    if key.startswith("eval/") and metric in record.eval_after:
        points[record.num_steps] = record.eval_after[metric]
    return points
