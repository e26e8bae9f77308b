"""Decode only the pictures that the sampled frames depend on, where an H.264 stream proves which those are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, groupby
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from museg.video.h264 import CodedPicture, nal_length_size, needed_pictures

_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
"""Those that PyAV and decord convert to the same RGB, bit by bit (tests/museg/video/test_needed_frames.py)."""

_TIME_TOLERANCE_S = 1e-3
"""decord's times are float32; frames are much further apart."""


class UnprovenError(Exception):
    """The stream doesn't prove which pictures are needed: decode all of them in order."""


def needed_frames(
    path: Path, indices: npt.NDArray[np.int64], starts_s: npt.NDArray[np.float64]
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames at ascending indices among those that are shown, each `[H, W, 3]` at its stored size.

    `starts_s` are the times of all shown frames, `[N]`, by another reader: a stream whose packets say otherwise (hidden
    frames, say) proves nothing. Each frame is known by its time; damage on the way to it is never concealed.
    Raises UnprovenError, possibly after some frames.
    """
    try:
        pictures = coded_pictures(path)
        shown = sorted(picture.pts for picture in pictures)
        with av.open(str(path), metadata_errors="replace") as container:
            _require_times(shown, starts_s, container)
            wanted = [shown[index] for index in indices]
            yield from _picked(_decoded(container, needed_pictures(pictures, set(wanted))), wanted)
    except (av.FFmpegError, ValueError) as error:
        raise UnprovenError(str(error)) from error


def coded_pictures(path: Path) -> list[CodedPicture]:
    """Every picture of an H.264 video in decoding order; nothing is decoded.

    Raises UnprovenError if it is another kind of stream, or doesn't say all of it.
    """
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        length_size = nal_length_size(codec.extradata)
        if codec.name != "h264" or codec.pix_fmt not in _PIXEL_FORMATS or length_size is None:
            raise UnprovenError("not an 8-bit H.264 stream with NAL lengths")
        pictures = []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                raise UnprovenError("a packet without a time, not to be shown, or damaged")
            pictures.append(CodedPicture.of(memoryview(packet), packet.pts, length_size))
    return pictures


def _require_times(shown: Sequence[int], starts_s: npt.NDArray[np.float64], container: InputContainer) -> None:
    time_base = container.streams.video[0].time_base
    if time_base is None or len(shown) != len(starts_s) or len(set(shown)) != len(shown):
        raise UnprovenError("the packets aren't the shown frames, one for one")
    times_s = (np.asarray(shown) - shown[0]) * float(time_base)
    if np.abs(times_s - (starts_s - starts_s[0])).max() > _TIME_TOLERANCE_S:
        raise UnprovenError("the packets' times aren't those of the shown frames")


def _decoded(container: InputContainer, needed: Sequence[bool]) -> Iterator[av.VideoFrame]:
    """The needed pictures in presentation order."""
    stream = container.streams.video[0]
    codec = stream.codec_context
    codec.thread_count = 1
    codec.options = {"err_detect": "explode"}
    packets = (packet for packet in container.demux(stream) if packet.size)
    for packet in compress(packets, needed):
        yield from codec.decode(packet)
    yield from codec.decode(None)


def _picked(frames: Iterator[av.VideoFrame], wanted: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """RGB of the frames at the wanted times, ascending; one that is wanted twice comes twice."""
    size, to_rgb = None, VideoReformatter()
    for pts, times in groupby(wanted):
        frame = next((frame for frame in frames if frame.pts == pts), None)
        if frame is None or frame.is_corrupt or frame.rotation or frame.interlaced_frame:
            raise UnprovenError("a frame that is missing, damaged, not upright or of two fields")
        size = size or (frame.height, frame.width)
        if (frame.height, frame.width) != size:
            raise UnprovenError("frames of different sizes")
        # A frame's own conversion would prepare its tables anew, which takes longer than small frames themselves.
        pixels: npt.NDArray[np.uint8] = (
            to_rgb.reformat(frame, format="rgb24", threads=1).to_ndarray().astype(np.uint8, copy=False)
        )
        for _ in times:
            yield pixels
