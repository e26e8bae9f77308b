"""Videos to measure with: real footage, encoded as x264 does by default."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from museg.synthesis.footage import find_clips

FPS = 30
SHAPES = (("street", 640, 480), ("rabbit", 1280, 720))
"""Content, width and height of each recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One video file."""

    name: str
    path: Path


def record(folder: Path, *, seconds: int, seed: int) -> list[Recording]:
    """One H.264 video of every shape, x264's own groups of pictures; the seed says where its footage begins.

    Raises DataError where the footage isn't installed.
    """
    clips = find_clips()
    recordings = []
    for content, width, height in SHAPES:
        recording = Recording(name=f"{width}x{height}", path=folder / f"{width}x{height}.mp4")
        _encode(clips[content], recording.path, width=width, height=height, num_frames=seconds * FPS, start=seed)
        recordings.append(recording)
    return recordings


def _encode(source: Path, target: Path, *, width: int, height: int, num_frames: int, start: int) -> None:
    """The source's frames to and fro, so that nothing jumps, until there are enough."""
    with av.open(str(source)) as container:
        frames = [frame.reformat(width=width, height=height, format="yuv420p") for frame in container.decode(video=0)]
    there_and_back = itertools.cycle([*frames, *frames[-2:0:-1]])
    first = start % len(frames)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, frame in enumerate(itertools.islice(there_and_back, first, first + num_frames)):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, FPS), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
