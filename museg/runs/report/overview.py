"""The head of the report: the run's figures at a glance and its scores before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from museg.runs.report.record import RunRecord

BLIND = "blind/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure at a glance, such as `mIoU: 0.770, +0.350 from 0.420`."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A score on a metric's scale."""

    kind: str
    """`blind`, `before` or `after`."""
    left_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One metric of the evaluation table; empty text where a score doesn't exist."""

    metric: str
    before: str
    after: str
    gain: str
    blind: str
    """The same questions with the videos swapped, after training; before it, where there is no after."""
    above_blind: str
    marks: tuple[Mark, ...]
    scale: str
    """Where the marks' scale ends."""
    is_detail: bool
    """One of a series, such as recall at several overlaps; that at 0.5 stands for it."""


def key_figures(record: RunRecord) -> list[Figure]:
    """What a reader wants to know first; figures that the run doesn't have are left out."""
    planned = f"of {record.num_planned_steps}" if record.num_planned_steps else ""
    figures = [
        Figure(label="status", value=record.status),
        Figure(label="steps", value=str(record.num_steps), note=planned),
    ]
    before, after = record.eval_before.get("miou"), record.eval_after.get("miou")
    if before is not None and after is not None:
        figures.append(Figure(label="mIoU gain", value=_difference(before, after), note=f"{before:.3f} → {after:.3f}"))
    blind = record.eval_after.get(BLIND + "miou")
    if after is not None and blind is not None:
        figures.append(Figure(label="mIoU above blind", value=_difference(blind, after), note=f"blind {blind:.3f}"))
    if record.reward_first is not None and record.reward_last is not None:
        first, last = record.reward_first, record.reward_last
        figures.append(Figure(label="reward gain", value=_difference(first, last), note=f"{first:.3f} → {last:.3f}"))
    if record.wall_s is not None:
        figures.append(Figure(label="wall time", value=str(timedelta(seconds=round(record.wall_s)))))
    if record.restarts is not None:
        figures.append(Figure(label="restarts", value=str(record.restarts)))
    if record.videos_skipped is not None:
        figures.append(Figure(label="videos skipped", value=str(len(record.videos_skipped))))
    return figures


def score_table(record: RunRecord) -> list[ScoreRow]:
    """Every held-out metric before and after, with what it is worth above its blind score."""
    metrics = dict.fromkeys([*record.eval_before, *record.eval_after])
    return [_row(metric, record) for metric in metrics if not metric.startswith(BLIND)]


def _row(metric: str, record: RunRecord) -> ScoreRow:
    before, after = record.eval_before.get(metric), record.eval_after.get(metric)
    latest = record.eval_before if after is None else record.eval_after
    blind = latest.get(BLIND + metric)
    scores = {
        kind: score for kind, score in (("blind", blind), ("before", before), ("after", after)) if score is not None
    }
    scale = max(1, math.ceil(max(scores.values())))
    return ScoreRow(
        metric=metric,
        before=_score(before),
        after=_score(after),
        gain=_difference(before, after),
        blind=_score(blind),
        above_blind=_difference(blind, latest[metric]),
        marks=tuple(
            Mark(kind=kind, left_percent=round(100 * max(score, 0.0) / scale, 1)) for kind, score in scores.items()
        ),
        scale=str(scale),
        is_detail="@" in metric and not metric.endswith("@0.5"),
    )


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _difference(start: float | None, end: float | None) -> str:
    return "" if start is None or end is None else f"{end - start:+.3f}".replace("-", "−")
