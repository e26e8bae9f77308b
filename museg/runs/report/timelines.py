"""A group on its video's time axis: annotated segments above the predicted ones of each completion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from museg.data.samples import Segment
from museg.rewards.answers import predicted_segments
from museg.runs.report.groups import ChosenGroup, RecordedCompletion

UNKNOWN_DURATION_MARGIN = 1.25
"""Where the video's duration isn't known, the axis goes so far beyond the last annotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    left_percent: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A segment on the axis, cut at its end."""

    left_percent: float
    width_percent: float
    label: str
    is_cut: bool
    """The segment goes on (or lies) beyond the end of the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The predicted segments of one completion; none, if its answer doesn't parse."""

    completion: RecordedCompletion
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    chosen: ChosenGroup
    ticks: tuple[Tick, ...]
    annotated: tuple[Bar, ...]
    tracks: tuple[Track, ...]


def build_timeline(chosen: ChosenGroup) -> Timeline:
    """`chosen` laid out from 0 to the end of the video (where that is unknown, a little past the last annotation)."""
    group = chosen.group
    last_end_s = max((end for _, end in group.solution), default=0.0)
    end_s = max(last_end_s, group.duration_s or last_end_s * UNKNOWN_DURATION_MARGIN) or 1.0
    return Timeline(
        chosen=chosen,
        ticks=_ticks(end_s),
        annotated=_bars(group.solution, end_s),
        tracks=tuple(
            Track(completion=completion, bars=_bars(predicted_segments(completion.text), end_s))
            for completion in group.completions
        ),
    )


def _bars(segments: Iterable[Segment], end_s: float) -> tuple[Bar, ...]:
    return tuple(_bar(start, end, end_s) for start, end in segments)


def _bar(start_s: float, end_s: float, axis_end_s: float) -> Bar:
    left, right = (100 * min(max(time_s, 0.0), axis_end_s) / axis_end_s for time_s in (start_s, end_s))
    return Bar(
        left_percent=round(left, 2),
        width_percent=round(max(right - left, 0.0), 2),
        label=f"{start_s:.4g}–{end_s:.4g} s",
        is_cut=end_s > axis_end_s,
    )


def _ticks(end_s: float) -> tuple[Tick, ...]:
    times_s = MaxNLocator(nbins=5, steps=[1, 2, 3, 5, 10]).tick_values(0.0, end_s)
    return tuple(
        Tick(left_percent=round(100 * float(time_s) / end_s, 2), label=f"{time_s:g} s")
        for time_s in times_s
        if 0 <= time_s <= end_s
    )
