"""The head of the report: the run's figures at a glance and its scores before and after."""

from __future__ import annotations

from collections.abc import Mapping
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
class ScoreRow:
    """One line of the evaluation table; empty text where a score doesn't exist."""

    metric: str
    before: str
    after: str
    gain: str
    is_detail: bool
    """Explains the metric above it: its blind score, or what it is worth above that."""


def key_figures(record: RunRecord) -> list[Figure]:
    """What a reader wants to know first; figures that the run doesn't have are left out."""
    planned = f"of {record.num_planned_steps}" if record.num_planned_steps else ""
    figures = [
        Figure(label="status", value=record.status),
        Figure(label="steps", value=str(record.num_steps), note=planned),
    ]
    before, after = record.eval_before.get("miou"), record.eval_after.get("miou")
    if before is not None and after is not None:
        figures.append(Figure(label="mIoU gain", value=f"{after - before:+.3f}", note=f"{before:.3f} → {after:.3f}"))
    blind = record.eval_after.get(BLIND + "miou")
    if after is not None and blind is not None:
        figures.append(Figure(label="mIoU above blind", value=f"{after - blind:+.3f}", note=f"blind {blind:.3f}"))
    if record.reward_first is not None and record.reward_last is not None:
        first, last = record.reward_first, record.reward_last
        figures.append(Figure(label="reward gain", value=f"{last - first:+.3f}", note=f"{first:.3f} → {last:.3f}"))
    if record.wall_s is not None:
        figures.append(Figure(label="wall time", value=str(timedelta(seconds=round(record.wall_s)))))
    if record.restarts is not None:
        figures.append(Figure(label="restarts", value=str(record.restarts)))
    if record.videos_skipped is not None:
        figures.append(Figure(label="videos skipped", value=str(len(record.videos_skipped))))
    return figures


def score_table(record: RunRecord) -> list[ScoreRow]:
    """Every held-out metric before and after; beneath one that has a blind score, that and the distance to it."""
    before, after = record.eval_before, record.eval_after
    rows: list[ScoreRow] = []
    for metric in dict.fromkeys([*before, *after]):
        if metric.startswith(BLIND):
            continue
        rows.append(_row(metric, before.get(metric), after.get(metric), is_detail=False))
        blind = BLIND + metric
        if blind in before or blind in after:
            rows.append(_row("blind", before.get(blind), after.get(blind), is_detail=True))
            rows.append(_row("above blind", _above_blind(before, metric), _above_blind(after, metric), is_detail=True))
    return rows


def _above_blind(scores: Mapping[str, float], metric: str) -> float | None:
    if metric not in scores or BLIND + metric not in scores:
        return None
    return scores[metric] - scores[BLIND + metric]


def _row(metric: str, before: float | None, after: float | None, *, is_detail: bool) -> ScoreRow:
    gain = "" if before is None or after is None else f"{after - before:+.3f}"
    return ScoreRow(
        metric=metric,
        before="" if before is None else f"{before:.3f}",
        after="" if after is None else f"{after:.3f}",
        gain=gain,
        is_detail=is_detail,
    )
