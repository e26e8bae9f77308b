"""Where each content is shown: a random timeline of shots for one question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from museg.data.samples import Segment
from museg.synthesis.questions import DESCRIPTIONS
from museg.synthesis.settings import MIN_GAP_S, SplitSettings, SynthesisSettings

MIN_RUN_S = 2
MAX_RUN_S = 8
"""Bounds of one shot of content that isn't asked for, where its gap allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An uninterrupted stretch of one content."""

    content: str
    num_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A video's shots, in order, and the content that its question asks for."""

    asked: str
    shots: tuple[Shot, ...]

    @property
    def duration_s(self) -> int:
        return sum(shot.num_seconds for shot in self.shots)

    @property
    def seconds(self) -> list[str]:
        """The content of every second."""
        return [shot.content for shot in self.shots for _ in range(shot.num_seconds)]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Where the content asked for is shown, in seconds."""
        segments: list[Segment] = []
        start = 0
        for shot in self.shots:
            if shot.content == self.asked:
                segments.append((float(start), float(start + shot.num_seconds)))
            start += shot.num_seconds
        return tuple(segments)


def draw_timeline(
    settings: SynthesisSettings, split: SplitSettings, *, several: bool, rng: np.random.Generator
) -> Timeline:
    """A timeline whose events have lengths and positions spread evenly over the longest video.

    The video is then cut off at a random length that its events allow: were the length drawn first, events would crowd
    near the start and a constant answer there would score well. `several` asks for two or three segments, three in a
    third of the cases if the split's events are short enough.
    """
    num_segments = 1
    if several:
        num_segments = 3 if rng.random() < 1 / 3 and settings.fits(3, split) else 2
    lengths = _draw_lengths(settings, split, num_segments, rng)
    gaps = _draw_gaps(settings.max_duration_s - sum(lengths), num_segments, rng)
    end = sum(lengths) + sum(gaps[:-1])
    shortest = max(settings.min_duration_s, end, math.ceil(sum(lengths) / settings.max_event_share))
    gaps[-1] = int(rng.integers(shortest, settings.max_duration_s + 1)) - end
    contents = list(DESCRIPTIONS)
    asked = contents.pop(rng.integers(len(contents)))
    shots = _fill_gap(gaps[0], contents, rng)
    for length, gap in zip(lengths, gaps[1:], strict=True):
        shots.append(Shot(content=asked, num_seconds=length))
        shots.extend(_fill_gap(gap, contents, rng))
    return Timeline(asked=asked, shots=tuple(shots))


def _draw_lengths(
    settings: SynthesisSettings, split: SplitSettings, num_segments: int, rng: np.random.Generator
) -> list[int]:
    """Event lengths, drawn until they fit the longest video (settings.fits says that some do)."""
    longest = settings.max_duration_s
    most = min(longest - (num_segments - 1) * MIN_GAP_S, settings.max_event_share * longest)
    while True:
        lengths = [int(length) for length in rng.integers(split.min_event_s, split.max_event_s + 1, num_segments)]
        if sum(lengths) <= most:
            return lengths


def _draw_gaps(total: int, num_segments: int, rng: np.random.Generator) -> list[int]:
    """Seconds before, between and after the segments, uniform over all ways to share `total`."""
    free = total - (num_segments - 1) * MIN_GAP_S
    bars = np.sort(rng.choice(free + num_segments, size=num_segments, replace=False))
    edges = [-1, *(int(bar) for bar in bars), free + num_segments]
    gaps = [right - left - 1 for left, right in pairwise(edges)]
    return [gaps[0], *(gap + MIN_GAP_S for gap in gaps[1:-1]), gaps[-1]]


def _fill_gap(num_seconds: int, contents: list[str], rng: np.random.Generator) -> list[Shot]:
    """Shots of the contents that aren't asked for, taking turns, that fill a gap exactly."""
    shots: list[Shot] = []
    turn = int(rng.integers(len(contents)))
    remaining = num_seconds
    while remaining:
        length = min(int(rng.integers(MIN_RUN_S, MAX_RUN_S + 1)), remaining)
        if remaining - length < MIN_RUN_S:
            length = remaining
        shots.append(Shot(content=contents[turn % len(contents)], num_seconds=length))
        remaining -= length
        turn += 1
    return shots
