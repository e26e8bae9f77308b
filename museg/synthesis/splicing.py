"""Splices shots of real footage into one H.264 video."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from museg.synthesis.footage import Footage
from museg.synthesis.timelines import Shot, Timeline

MAX_GAIN = 1.15
"""Brightest shot; the darkest is its inverse."""

ENCODER_OPTIONS = {"preset": "ultrafast", "crf": "30", "bf": "0"}
"""The cheapest to write and to decode; frames this small hardly grow by it."""


def write_video(
    path: Path,
    timeline: Timeline,
    footage: Mapping[str, Footage],
    *,
    held_out: bool,
    size: tuple[int, int],
    fps: int,
    rng: np.random.Generator,
) -> None:
    """Write the timeline's shots as an mp4 of `size` (width, height), one key frame a second.

    Frame `fps * s` is the first of second s. Each shot is another random window of its clip.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={**ENCODER_OPTIONS, "g": str(fps)})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.thread_count = 1
        pts = 0
        for shot in timeline.shots:
            for pixels in draw_shot(shot, footage[shot.content], held_out=held_out, size=size, fps=fps, rng=rng):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = pts, Fraction(1, fps)
                container.mux(stream.encode(frame))
                pts += 1
        container.mux(stream.encode(None))


def draw_shot(
    shot: Shot, footage: Footage, *, held_out: bool, size: tuple[int, int], fps: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Frames of one shot, `[num_seconds * fps, height, width, 3]`: a random window, crop and brightness of the clip."""
    width, height = size
    indices = play(footage, held_out=held_out, num_frames=shot.num_seconds * fps, fps=fps, rng=rng)
    top = int(rng.integers(footage.frames.shape[1] - height + 1))
    left = int(rng.integers(footage.frames.shape[2] - width + 1))
    gain = MAX_GAIN ** rng.uniform(-1.0, 1.0)
    brightness = np.clip(np.arange(256) * gain, 0, 255).round().astype(np.uint8)
    shown = footage.frames[indices, top : top + height, left : left + width]
    return np.take(brightness, shown)


def play(
    footage: Footage, *, held_out: bool, num_frames: int, fps: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Indices of `num_frames` frames at true speed from a random start, turning back at the window's ends."""
    window = footage.window(held_out=held_out)
    last = len(window) - 1
    period = max(2 * last, 1)
    positions = rng.uniform(0, period) + np.arange(num_frames) * footage.fps / fps
    folded = np.abs((positions + last) % period - last) if last else np.zeros(num_frames)
    return window.start + folded.round().astype(np.int64)
