"""Small pictures of the videos for the timeline viewer: one strip of frames a video, as JPEG."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from museg.errors import VideoError
from museg.runs.report.record import VideoPlace
from museg.video.clip import VideoClip
from museg.video.decoder import Decoder
from museg.video.limits import DecodeLimits
from museg.video.paths import opened_video
from museg.video.pixel_budget import PATCH, FrameBudget

NUM_FRAMES = 8
"""Shown of a video; twice as many are decoded, so that one lies near the middle of each eighth."""
_MAX_PIXELS = 160 * 120
_JPEG_QUALITY = 62
_TIMEOUT_S = 5.0
"""Of one video: pictures aren't worth waiting for."""
_BUDGET = FrameBudget(
    fps=1e-6,
    min_frames=2 * NUM_FRAMES,
    max_frames=2 * NUM_FRAMES,
    min_pixels=PATCH * PATCH,
    max_pixels=_MAX_PIXELS,
    total_pixels=_MAX_PIXELS * 2 * NUM_FRAMES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """`NUM_FRAMES` frames side by side, each from near the middle of its equal share of the video's time."""

    jpeg: bytes


class Filmstrips:
    """Makes strips of videos in a process of its own.

        with Filmstrips(place) as strips:
            strip = strips.of("videos/street.mp4")

    A video that can't be read simply has none.
    """

    def __init__(self, place: VideoPlace) -> None:
        self._place = place
        self._decoder = Decoder(DecodeLimits(timeout_s=_TIMEOUT_S, attempts=1))
        self._made: dict[str, Strip | None] = {}

    def of(self, video: str) -> Strip | None:
        """The strip of a video, made once."""
        if video not in self._made:
            self._made[video] = self._make(video)
        return self._made[video]

    def of_some(self, videos: Iterable[str], *, max_bytes: int, within_s: float) -> dict[str, Strip]:
        """Strips of the first videos that have one, as many as there is room for and are ready in time."""
        deadline = time.monotonic() + within_s
        strips: dict[str, Strip] = {}
        for video in videos:
            if time.monotonic() > deadline:
                break
            if strip := self.of(video):
                max_bytes -= len(strip.jpeg)
                if max_bytes < 0:
                    break
                strips[video] = strip
        return strips

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _make(self, video: str) -> Strip | None:
        try:
            with opened_video(self._place.root, video, allow_outside=self._place.allow_outside) as path:
                return _strip(self._decoder.clip(path, video=video, budget=_BUDGET))
        except (VideoError, RuntimeError):
            return None


def _strip(clip: VideoClip) -> Strip:
    middles_s = (np.arange(NUM_FRAMES) + 0.5) * clip.duration_s / NUM_FRAMES
    nearest = np.abs(clip.frame_times_s[None] - middles_s[:, None]).argmin(axis=1)
    image = Image.fromarray(np.concatenate(list(clip.frames[nearest]), axis=1))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return Strip(jpeg=file.getvalue())
