"""Opens and decodes the videos of a data set, as training would, to learn which can't be and how long they are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from museg.data.checking.annotations import Annotation
from museg.data.checking.anomalies import ROUNDING_S, Anomaly, Kind
from museg.data.checking.segments import beyond
from museg.data.checking.watched import Lost, run_watched
from museg.errors import DataError, VideoError
from museg.video.paths import opened_video, shown

if TYPE_CHECKING:
    from museg.video.pixel_budget import FrameBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What decoding a video showed."""

    duration_s: float | None = None
    """The video's true length; None where it can't be decoded."""
    num_visual_tokens: int | None = None
    """That the frames of a budget make; None without one."""
    is_missing: bool = False
    error: str = ""


def probe_videos(
    root: Path,
    videos: Collection[str],
    *,
    allow_outside: bool = False,
    workers: int | None,
    timeout_s: float,
    budget: FrameBudget | None = None,
) -> dict[str, Probe]:
    """Decode every video below `root` from its first to its last frame, with a progress bar on stderr.

    In `workers` processes (None: one a core), each of which is killed when a video takes longer than `timeout_s`: some
    damaged files make decord spin for ever. `allow_outside` is that of `opened_video`. With a `budget` videos are
    decoded as training by it would, and their tokens counted. Raises DataError if `root` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"data check: --video-root {root} isn't a folder")
    # Not Path.is_file(), which raises on a name that is too long for a file.
    there = [video for video in videos if os.path.isfile(root / video)]
    probes = {video: Probe(is_missing=True, error=f"there is no file {root / video}") for video in videos}
    outcomes = run_watched(
        partial(_decode, root, allow_outside, budget),
        there,
        workers=workers or os.cpu_count() or 1,
        timeout_s=timeout_s,
        preload="museg.video.decoding",
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("videos", total=len(there))
        for video, outcome in outcomes:
            probes[video] = Probe(error=f"decoding it {outcome.reason}") if isinstance(outcome, Lost) else outcome
            progress.advance(bar)
    return probes


def video_anomalies(annotation: Annotation, probe: Probe) -> Iterator[Anomaly]:
    """What the video shows to be wrong with a row."""
    if probe.is_missing:
        yield annotation.anomaly(Kind.missing_file, probe.error)
        return
    if probe.duration_s is None:
        yield annotation.anomaly(Kind.unreadable, probe.error)
        return
    yield from beyond(annotation, probe.duration_s, Kind.beyond_probed_duration)
    annotated_s = annotation.duration_s
    if annotated_s is not None and abs(annotated_s - probe.duration_s) > ROUNDING_S:
        yield annotation.anomaly(
            Kind.duration_mismatch, f"annotated as {annotated_s:g} s, the video has {probe.duration_s:.3f} s"
        )


def _decode(root: Path, allow_outside: bool, asked: FrameBudget | None, video: str) -> Probe:
    # Importing them takes seconds, which a check without videos need not spend.
    from museg.video.decoding import decode_clip
    from museg.video.pixel_budget import PATCH, FrameBudget

    # The last frame is among the sampled ones, so all are decoded; few and small ones are kept.
    budget = asked or FrameBudget(
        fps=1.0, min_frames=2, max_frames=2, min_pixels=PATCH**2, max_pixels=PATCH**2, total_pixels=PATCH**2
    )
    try:
        with opened_video(root, video, allow_outside=allow_outside) as path:
            clip = decode_clip(path, video=video, budget=budget)
    except VideoError as error:
        return Probe(error=str(error).removeprefix(f"video {shown(video)}: "))
    num_frames, height, width, _ = clip.frames.shape
    tokens = num_frames // 2 * (height // PATCH) * (width // PATCH) if asked else None
    return Probe(duration_s=clip.duration_s, num_visual_tokens=tokens)
