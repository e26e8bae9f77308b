"""What is wrong with the segments of a row, by themselves and against the length of the video."""

from __future__ import annotations

from collections.abc import Iterator

from museg.data.checking.annotations import Annotation
from museg.data.checking.anomalies import ROUNDING_S, Anomaly, Kind, Severity
from museg.data.samples import Segment

FLOAT_ROUNDING_S = 1e-6
"""Difference of two times that are the same."""


def segment_anomalies(annotation: Annotation) -> Iterator[Anomaly]:
    """Everything about a row's segments that the row alone shows."""
    yield from _bounds(annotation)
    yield from _arrangement(annotation)
    if annotation.duration_s is not None:
        yield from beyond(annotation, annotation.duration_s, Kind.beyond_duration)


def beyond(annotation: Annotation, duration_s: float, kind: Kind) -> Iterator[Anomaly]:
    """Segments that end after `duration_s`: an error where one starts there, or ends more than `ROUNDING_S` later."""
    late = [segment for segment in annotation.segments if max(segment) > duration_s + FLOAT_ROUNDING_S]
    if not late:
        return
    starting_there = [segment for segment in late if min(segment) >= duration_s]
    excess_s = max(max(segment) for segment in late) - duration_s
    severity = Severity.error if starting_there or excess_s > ROUNDING_S else Severity.warning
    what = f"{_listed(starting_there)} starts" if starting_there else f"{_listed(late)} ends"
    yield annotation.anomaly(kind, f"{what} after the end at {duration_s:g} s (by up to {excess_s:.3g} s)", severity)


def _bounds(annotation: Annotation) -> Iterator[Anomaly]:
    segments = annotation.segments
    negative = [segment for segment in segments if min(segment) < 0]
    if negative:
        yield annotation.anomaly(Kind.negative, f"{_listed(negative)} starts before 0")
    inverted = [segment for segment in segments if segment[0] >= segment[1]]
    if inverted:
        empty = all(start == end for start, end in inverted)
        yield annotation.anomaly(
            Kind.inverted, f"{_listed(inverted)} {'has no length' if empty else 'ends before it starts'}"
        )
    if annotation.has_integer_bounds:
        yield annotation.anomaly(Kind.integer_bounds, f"{_listed(segments)}: whole seconds only")


def _arrangement(annotation: Annotation) -> Iterator[Anomaly]:
    segments = annotation.segments
    by_start = sorted((min(segment), max(segment)) for segment in segments)
    furthest_s = float("-inf")
    overlapping = []
    for start, end in by_start:
        if start < furthest_s:
            overlapping.append((start, end))
        furthest_s = max(furthest_s, end)
    if overlapping:
        yield annotation.anomaly(Kind.overlapping, f"{_listed(overlapping)} begins before an earlier one ends")
    starts = [min(segment) for segment in segments]
    if starts != sorted(starts):
        yield annotation.anomaly(Kind.unsorted, f"{_listed(segments)}: not by start")
    if annotation.task == "tvg" and len(segments) > 1:
        yield annotation.anomaly(Kind.wrong_task, f"tvg with {len(segments)} segments")


def _listed(segments: list[Segment] | tuple[Segment, ...], most: int = 4) -> str:
    listed = " ".join(f"{start:g}-{end:g}" for start, end in segments[:most])
    return listed + (f" and {len(segments) - most} more" if len(segments) > most else "")
