"""What a data set is like: how much of what, how long, and where in the videos."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from museg.data.checking.annotations import Annotation
from museg.data.checking.mending import mended_segments
from museg.data.samples import Sample
from museg.evaluation.blind import ConstantAnswer, best_constant_answer

LENGTH_EDGES_S = (0, 2, 5, 10, 20, 30, 60, 120)
NUM_POSITIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of all rows checked; what counts segments leaves out the rows without a usable one. Histograms by label."""

    rows: int
    videos: int
    tasks: Mapping[str, int]
    sources: Mapping[str, int]
    """Rows by the folder that holds the video."""
    known_durations: int
    """Rows with a duration, annotated or of the decoded video."""
    unknown_durations: int
    segments_per_row: Mapping[str, int]
    segment_lengths_s: Mapping[str, int]
    segment_positions: Mapping[str, int]
    """Segments by where their middle lies in the video, in tenths; of rows with a known duration."""
    longest_segment_s: float
    longest_duration_s: float | None
    best_constant_answer: ConstantAnswer | None
    """What a policy that ignores the video can earn; None without a usable row."""


def statistics(annotations: Sequence[Annotation], durations_s: Mapping[str, float]) -> Statistics:
    """Statistics of the rows; `durations_s` are those of decoded videos, and go before annotated ones."""
    samples = [sample for row in annotations if (sample := _sample(row, durations_s)) is not None]
    segments = [(segment, sample.duration_s) for sample in samples for segment in sample.solution]
    durations = [_duration(row, durations_s) for row in annotations]
    known = [duration for duration in durations if duration is not None]
    lengths = [end - start for (start, end), _ in segments]
    positions = [(start + end) / 2 / duration for (start, end), duration in segments if duration]
    return Statistics(
        rows=len(annotations),
        videos=len({row.video for row in annotations if row.video is not None}),
        tasks=_counted(row.task or "not named" for row in annotations),
        sources=_counted(_source(row) for row in annotations),
        known_durations=len(known),
        unknown_durations=len(durations) - len(known),
        segments_per_row={str(n): count for n, count in sorted(Counter(len(s.solution) for s in samples).items())},
        segment_lengths_s=_lengths(lengths),
        segment_positions=_positions(positions),
        longest_segment_s=max(lengths, default=0.0),
        longest_duration_s=max(known, default=None),
        best_constant_answer=best_constant_answer(samples) if samples else None,
    )


def _sample(row: Annotation, durations_s: Mapping[str, float]) -> Sample | None:
    """The row as training sees it: segments turned round, empty ones dropped; None without any."""
    segments = mended_segments(row.segments, None)
    if not segments:
        return None
    return Sample(
        idx=row.row,
        problem=row.problem or "",
        solution=tuple(segments),
        video=row.video or "",
        task=row.task or "",
        duration_s=_duration(row, durations_s),
    )


def _duration(row: Annotation, durations_s: Mapping[str, float]) -> float | None:
    return durations_s.get(row.video or "", row.duration_s)


def _source(row: Annotation) -> str:
    return str(PurePosixPath(row.video).parent) if row.video is not None else "no video"


def _counted(labels: Iterable[str]) -> dict[str, int]:
    return dict(Counter(labels).most_common())


def _lengths(lengths_s: Sequence[float]) -> dict[str, int]:
    last = LENGTH_EDGES_S[-1]
    labels = [f"{low}-{high} s" for low, high in pairwise(LENGTH_EDGES_S)] + [f"{last} s and more"]
    counts = Counter(bisect_right(LENGTH_EDGES_S, length_s) - 1 for length_s in lengths_s)
    return {label: counts[number] for number, label in enumerate(labels)}


def _positions(positions: Sequence[float]) -> dict[str, int]:
    counts = Counter(min(int(position * NUM_POSITIONS), NUM_POSITIONS - 1) for position in positions)
    width = 100 // NUM_POSITIONS
    return {f"{width * number}-{width * (number + 1)}%": counts[number] for number in range(NUM_POSITIONS)}
