"""Read timed captions out of an answer (DVC, SLC) as leniently as the benchmark does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from museg.data.samples import Segment
from museg.evaluation.et_bench.answers import DASHED, NUMBER

_START_LABEL = re.compile(rf"start(?:ing)? time: ({NUMBER})")
_END_LABEL = re.compile(rf"end(?:ing)? time: ({NUMBER})")
_DESCRIPTION = re.compile(r"description: (.*)")
_BULLET = re.compile(r"\*\s*(.*)")
_UNLABELLED = re.compile(rf"start time {NUMBER}, end time {NUMBER}")
_CLOCK = re.compile(rf"({NUMBER}):({NUMBER})")
_LONE_NUMBER = re.compile(rf"{NUMBER}(?!\.)")

_RADIUS_S = 20
"""Half of the segment that a single moment stands for."""
_MIN_CAPTION = 6
_MIN_LINE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCaption:
    """What an answer says happens in a segment."""

    segment: Segment
    """Start <= end, in seconds."""
    text: str


def timed_captions(answer: str) -> list[TimedCaption]:
    """The captions of an answer with their segments; empty if there are none, which the benchmark counts as failed.

    The first notation that gives any: `3 - 7 seconds, caption` throughout the text; `start time: 3, end time: 7,
    description: caption`; else the first line (or sentence) from which a segment can be guessed.
    `start time 3, end time 7` without colons fails as a whole: the benchmark's script trips over its own check there.
    """
    text = answer.lower()
    try:
        captions = _dashed(text)
        if captions is None:
            captions = _labelled(text)
    except ValueError:  # `1..5`
        return []
    if captions is None and _UNLABELLED.search(text):
        return []
    return captions or _guessed(answer)


def _dashed(text: str) -> list[TimedCaption] | None:
    """None if the notation doesn't occur."""
    found = list(DASHED.finditer(text))
    if not found:
        return None
    segments = [(float(match.group(1)), float(match.group(2))) for match in found]
    for match in found:
        text = text.replace(match.group(), "\n")
    return _paired(segments, text.replace("seconds", "").split("\n"))


def _labelled(text: str) -> list[TimedCaption] | None:
    """None if the notation doesn't occur."""
    starts, ends = _START_LABEL.findall(text), _END_LABEL.findall(text)
    if not starts or not ends:
        return None
    segments = [(float(start), float(end)) for start, end in zip(starts, ends, strict=False)]
    return _paired(segments, _DESCRIPTION.findall(text) or _BULLET.findall(text))


def _paired(segments: list[Segment], texts: list[str]) -> list[TimedCaption]:
    """Segments and those texts that are long enough for a caption, in order, until either runs out."""
    captions = [text.strip().strip(", ").rstrip() for text in texts if len(text) >= _MIN_CAPTION]
    return [_caption(*segment, text) for segment, text in zip(segments, captions, strict=False)]


def _guessed(answer: str) -> list[TimedCaption]:
    lines, end = (answer.split("\n"), "") if "\n" in answer else (answer.split("."), ".")
    for line in lines:
        if len(line) < _MIN_LINE:
            continue
        parts = [part.strip(",") for part in (line + end).split("seconds")]
        try:
            segment = _guessed_segment(parts[0])
        except (ValueError, OverflowError):
            continue
        if segment:
            return [_caption(round(segment[0], 2), round(segment[1], 2), parts[-1].strip())]
    return []


def _guessed_segment(text: str) -> Segment | None:
    """From `3 - 7`, `1:03`, `1:03 … 2:10`, one number or two; None if there is nothing of the kind.

    Raises ValueError for what looks like a time and isn't one, OverflowError for one beyond all numbers.
    """
    dashed = DASHED.search(text)
    if dashed:
        return float(dashed.group(1)), float(dashed.group(2))
    moments = _clock_times(text) or [float(number) for number in _LONE_NUMBER.findall(text)]
    if len(moments) == 1:
        start = moments[0] - _RADIUS_S if moments[0] > _RADIUS_S else moments[0]
        return start, start + 2 * _RADIUS_S
    return (moments[0], moments[1]) if len(moments) == 2 else None


def _clock_times(text: str) -> list[float]:
    colons = text.count(":")
    if colons not in (1, 2):
        return []
    times = [float(int(minutes) * 60 + int(seconds)) for minutes, seconds in _CLOCK.findall(text)]
    if len(times) != colons:
        raise ValueError(f"{text!r} has {colons} colons, but {len(times)} times")
    return times


def _caption(start: float, end: float, text: str) -> TimedCaption:
    return TimedCaption(segment=(min(start, end), max(start, end)), text=text)
