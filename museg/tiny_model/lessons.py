"""What the warm start teaches from: videos, questions about them, and what each second shows."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from museg.data.samples import Sample, Segment, read_samples
from museg.errors import DataError
from museg.synthesis.questions import DESCRIPTIONS, ask
from museg.tiny_model.wording import answer_text
from museg.video.clip import VideoClip
from museg.video.decoding import decode_clip
from museg.video.paths import opened_video
from museg.video.pixel_budget import FrameBudget

ONE_TOKEN_A_SECOND = FrameBudget(
    fps=2.0, min_frames=4, max_frames=448, min_pixels=784, max_pixels=602_112, total_pixels=784
)
"""Two frames of 28 × 28 pixels a second, as configs/quickstart.yaml has them."""

MAX_SEGMENTS = 3
"""Most segments that a question of the quickstart has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A question about a clip with its full answer, and what the clip shows."""

    clip: VideoClip
    seconds: tuple[str, ...]
    """Content of each second, one per visual token."""
    problem: str
    segments: tuple[Segment, ...]
    """Where the content asked for is shown, in whole seconds."""


def read_lessons(data: Path, *, min_event_s: int, seed: int) -> list[Lesson]:
    """All questions that the videos of the warm-start split allow about events of at least `min_event_s`.

    A video is asked about each of its contents, not only the one it was made for: otherwise the longest event is always
    the one asked for, and the model learns to answer without reading the question.

    Raises:
        DataError: `data` isn't a folder of `museg data synth`, or no event in it is so long.
    """
    samples = read_samples(data / "warm_start.jsonl")
    timelines = _read_timelines(data / "timeline.jsonl")
    clips = decode_all(data, samples)
    rng = np.random.default_rng(seed)
    lessons = []
    for sample, clip in zip(samples, clips, strict=True):
        seconds = timelines.get(sample.video, ())
        if 2 * len(seconds) != len(clip.frames):
            raise DataError(
                f"{data / 'timeline.jsonl'} names {len(seconds)} seconds of {sample.video}, which has "
                f"{len(clip.frames) // 2}: make the data again (museg data synth --force)"
            )
        lessons += _questions_about(clip, seconds, min_event_s, rng)
    if not lessons:
        raise DataError(f"{data}: no event of its warm start lasts {min_event_s} s: lower min_event_s")
    return lessons


def decode_all(data: Path, samples: Sequence[Sample]) -> list[VideoClip]:
    """The samples' clips at one visual token a second. Raises VideoError for the first that can't be decoded."""

    def decode(sample: Sample) -> VideoClip:
        with opened_video(data, sample.video) as path:
            return decode_clip(path, video=sample.video, budget=ONE_TOKEN_A_SECOND)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(decode, samples))


def segments_showing(content: str, seconds: Sequence[str]) -> tuple[Segment, ...]:
    """The unbroken stretches of `seconds` that show `content`."""
    segments: list[Segment] = []
    start = 0
    for shown, stretch in groupby(seconds):
        end = start + sum(1 for _ in stretch)
        if shown == content:
            segments.append((float(start), float(end)))
        start = end
    return tuple(segments)


def loosely_answered(lessons: Sequence[Lesson], slack_s: int, *, seed: int) -> list[Sample]:
    """The lessons as samples whose responses answer loosely; their solutions stay exact."""
    rng = random.Random(seed)
    return [
        Sample(
            idx=idx,
            problem=lesson.problem,
            solution=lesson.segments,
            video=lesson.clip.video,
            task="tal" if len(lesson.segments) > 1 else "tvg",
            duration_s=lesson.clip.duration_s,
            response=answer_text(loosened(lesson.segments, len(lesson.seconds), slack_s, rng)),
        )
        for idx, lesson in enumerate(lessons)
    ]


def loosened(segments: Sequence[Segment], duration_s: float, slack_s: int, rng: random.Random) -> tuple[Segment, ...]:
    """A loose annotation: starts 0 to `slack_s` seconds early and ends as much late, each uniform over whole seconds.

    Segments stay within the video and at least a second apart.
    """
    loose: list[Segment] = []
    for index, (start, end) in enumerate(segments):
        before = start if index == 0 else (start - segments[index - 1][1] - 1) // 2
        after = duration_s - end if index == len(segments) - 1 else (segments[index + 1][0] - end - 1) // 2
        loose.append((start - min(rng.randint(0, slack_s), before), end + min(rng.randint(0, slack_s), after)))
    return tuple(loose)


def _questions_about(
    clip: VideoClip, seconds: tuple[str, ...], min_event_s: int, rng: np.random.Generator
) -> list[Lesson]:
    lessons = []
    for content in DESCRIPTIONS:
        segments = segments_showing(content, seconds)
        long_enough = all(end - start >= min_event_s for start, end in segments)
        if 1 <= len(segments) <= MAX_SEGMENTS and long_enough:
            problem = ask(content, several=len(segments) > 1, rng=rng)
            lessons.append(Lesson(clip=clip, seconds=seconds, problem=problem, segments=segments))
    return lessons


def _read_timelines(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.is_file():
        raise DataError(f"{path} is missing: --data must be a folder that `museg data synth` wrote")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["video"]: tuple(row["seconds"]) for row in rows}
