"""Decoding beside qwen-vl-utils, with which the peers decode: the same frames on one core, one thread each."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from museg.benchmarks.recordings import Recording
from museg.benchmarks.timing import Timing, ratio, side_by_side
from museg.errors import ConfigError
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget

PeerDecoder = Callable[[Path], torch.Tensor]
"""A video's frames at their final size, `[F, 3, H, W]`, whole numbers as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTimings:
    """One recording, decoded both ways."""

    name: str
    num_frames: int
    """Sampled frames."""
    ours: Timing
    peer: Timing

    def row(self) -> dict[str, object]:
        return {
            "recording": self.name,
            "frames": self.num_frames,
            "museg_s": self.ours.median_s,
            "qwen_vl_utils_s": self.peer.median_s,
            "ratio": ratio(self.peer, self.ours),
        }


def qwen_vl_utils_decoder(budget: FrameBudget) -> PeerDecoder:
    """`fetch_video` of qwen-vl-utils with its decord backend and the same budget.

    Raises ConfigError where it isn't installed, or has read videos by another backend in this process.
    """
    os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
    try:
        peer = importlib.import_module("qwen_vl_utils.vision_process")
    except ImportError as error:
        raise ConfigError("bench decode: needs qwen-vl-utils: pip install 'museg[bench]'") from error
    logging.getLogger(peer.__name__).setLevel(logging.ERROR)
    if peer.get_video_reader_backend() != "decord":
        raise ConfigError("bench decode: qwen-vl-utils doesn't read by decord: unset FORCE_QWENVL_VIDEO_READER")
    limits = {name: getattr(budget, name) for name in ("fps", "min_frames", "max_frames")}
    limits |= {name: getattr(budget, name) for name in ("min_pixels", "max_pixels", "total_pixels")}
    return lambda path: peer.fetch_video({"video": str(path), **limits})


def require_same_frames(recordings: Sequence[Recording], budget: FrameBudget, peer: PeerDecoder) -> list[int]:
    """The number of frames of each recording. Raises RuntimeError if the two give other pixels anywhere."""
    counts = []
    for recording in recordings:
        ours = decode_clip(recording.path, video=recording.name, budget=budget).frames
        if not np.array_equal(ours, _channels_last(peer(recording.path))):
            raise RuntimeError(f"{recording.name}: museg's frames aren't those of qwen-vl-utils")
        counts.append(len(ours))
    return counts


def measure_on_one_core(
    recordings: Sequence[Recording], budget: FrameBudget, peer: PeerDecoder, *, repeats: int
) -> list[DecodeTimings]:
    """Each recording by one thread on one core, both ways in turn. Raises RuntimeError as `require_same_frames`."""
    timings = []
    with one_core():
        counts = require_same_frames(recordings, budget, peer)
        for recording, num_frames in zip(recordings, counts, strict=True):
            ways: Mapping[str, Callable[[], object]] = {
                "ours": partial(decode_clip, recording.path, video=recording.name, budget=budget),
                "peer": partial(peer, recording.path),
            }
            taken = side_by_side(ways, repeats=repeats, warmups=1)
            timings.append(
                DecodeTimings(name=recording.name, num_frames=num_frames, ours=taken["ours"], peer=taken["peer"])
            )
    return timings


def ratio_over_all(timings: Sequence[DecodeTimings]) -> float:
    """How many times as long the peer takes for all recordings together."""
    return ratio(_sum([timing.peer for timing in timings]), _sum([timing.ours for timing in timings]))


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread on one core and torch at one thread, which is what decord's automatic choice follows too."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def _sum(timings: Sequence[Timing]) -> Timing:
    return Timing(
        seconds=tuple(map(sum, zip(*(timing.seconds for timing in timings), strict=True))),
        cpu_seconds=tuple(map(sum, zip(*(timing.cpu_seconds for timing in timings), strict=True))),
    )


def _channels_last(frames: torch.Tensor) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = frames.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return pixels
