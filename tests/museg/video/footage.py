"""Small real videos, written with PyAV, whose every frame is told apart by its picture."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

TICKS_PER_SECOND = 90_000
AUDIO_RATE = 16_000

ROTATIONS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""Clockwise degrees → the rotating part of an mp4's display matrix."""


def picture(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A moving gradient with a red upper left and a blue lower right corner, `[H, W, 3]`."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(2 * x + 5 * index) % 256, (3 * y + 3 * index) % 256, np.full((height, width), 7 * index % 256)]
    frame = np.stack(channels, axis=-1).astype(np.uint8)
    frame[: height // 4, : width // 4] = (255, 0, 0)
    frame[-(height // 4) :, -(width // 4) :] = (0, 0, 255)
    return frame


def write_video(
    path: Path,
    *,
    num_frames: int,
    fps: Fraction,
    height: int,
    width: int,
    times_s: Sequence[float] | None = None,
    audio: bool = False,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encode `num_frames` pictures at a steady rate, or at the given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"crf": "18", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.gop_size = 12
        time_base = Fraction(1, TICKS_PER_SECOND) if times_s else 1 / fps
        stream.time_base = stream.codec_context.time_base = time_base
        sound = container.add_stream("aac", rate=AUDIO_RATE) if audio else None
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
            frame.pts = round(times_s[index] * TICKS_PER_SECOND) if times_s else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _add_tone(container, sound, duration_s=float(num_frames / fps))
    return path


def write_sound(path: Path) -> Path:
    """A file with an audio track and no video."""
    with av.open(str(path), "w") as container:
        _add_tone(container, container.add_stream("aac", rate=AUDIO_RATE), duration_s=1.0)
    return path


def rotated(source: Path, target: Path, *, degrees: int) -> Path:
    """A copy of an mp4 that asks the player to turn its pictures clockwise, as phones write it."""
    content = bytearray(source.read_bytes())
    header = content.find(b"tkhd") + 4
    matrix = header + (52 if content[header] else 40)
    a, b, c, d = (value << 16 for value in ROTATIONS[degrees])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(content)
    return target


def cut_without_encoding(source: Path, target: Path, *, start_s: float) -> Path:
    """A copy whose edit list starts inside a group of pictures, so that some stored frames are never shown."""
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", options={"avoid_negative_ts": "disabled", "use_editlist": "1"}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.pts is None or packet.dts is None:
                continue
            shift = round(start_s / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            writer.mux(packet)
    return target


def all_frames(path: Path) -> tuple[list[npt.NDArray[np.uint8]], list[float], float]:
    """Every shown frame as stored, its time, and the average rate, by PyAV."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        frames, times_s = [], []
        for frame in container.decode(video=0):
            assert frame.time is not None
            frames.append(frame.to_ndarray(format="rgb24"))
            times_s.append(frame.time)
    return frames, times_s, float(rate)


def _add_tone(container: av.container.OutputContainer, stream: av.AudioStream, *, duration_s: float) -> None:
    block = 1024
    for start in range(0, int(duration_s * AUDIO_RATE), block):
        wave = np.sin(np.arange(start, start + block) / 20)[None].astype(np.float32) * 0.3
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.rate, frame.pts = AUDIO_RATE, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
