"""Samples: a question about a video and the segments that answer it."""

from __future__ import annotations

from dataclasses import dataclass

Segment = tuple[float, float]
"""Start and end of a time segment, in seconds of the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a sample file, as the authors publish them (DESIGN: sample file)."""

    idx: int
    problem: str
    solution: tuple[Segment, ...]
    video: str
    """Path relative to `data.video_root`."""
    task: str
    """`tvg` (one segment is asked for) or `tal` (all segments of an action)."""
    duration_s: float | None = None
