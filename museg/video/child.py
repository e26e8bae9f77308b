"""The decoding process: `python -m museg.video.child SOCKET PARENT MEMORY`, started by museg/video/decoder.py.

It opens videos from anybody, so it may crash, hang or be killed at any time; it holds nothing but the video at work. It
imports the decoders and numpy alone and starts in a fraction of a second. It ends with its parent.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.clip_plan import ClipPlan
from museg.video.footage import frames_of, open_footage, told_of
from museg.video.limits import DecodeLimits
from museg.video.wire import OUT_OF_MEMORY, SLOTS, receive, send

_PR_SET_PDEATHSIG = 1
_READ_BYTES = 1 << 20
_LEAST_ROOM_BYTES = 64 << 20


def main(descriptor: int, parent: int, memory_bytes: int) -> None:
    """Decode what is asked for until the parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    # An interrupt is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # With less room no video can be decoded, which is no video's fault.
    bytes(_LEAST_ROOM_BYTES)
    with socket.socket(fileno=descriptor) as channel:
        send(channel, {"ready": True})
        while True:
            try:
                request, video = receive(channel)
            except (EOFError, ConnectionError):
                return
            assert video is not None
            try:
                send(channel, _outcome(channel, request, video))
            finally:
                os.close(video)


def _outcome(channel: socket.socket, request: Mapping[str, Any], video: int) -> dict[str, object]:
    """Sends the frames and returns the last word about them."""
    try:
        with _Frames(channel) as frames, told_of(request["video"]):
            _decode(frames, request, Path(f"/proc/self/fd/{video}"))
    except VideoError as error:
        unreadable = storage_fault(video)
        return {"bad": str(error)} if unreadable is None else {"storage": unreadable}
    return {"done": True}


def _decode(frames: _Frames, request: Mapping[str, Any], path: Path) -> None:
    limits = DecodeLimits(**request["limits"])
    footage = open_footage(path, limits)
    bounds = {name: request[name] for name in ("fps", "min_frames", "max_frames")}
    plan = ClipPlan.of(footage, **bounds)
    for place, frame in frames_of(footage, np.asarray(plan.indices)):
        if frame.shape[0] * frame.shape[1] > limits.max_native_pixels:
            raise VideoError(f"its pictures are larger than video.max_native_pixels={limits.max_native_pixels} allows")
        frames.put(plan, place, frame)


def storage_fault(descriptor: int) -> str | None:
    """Why an open file can't be read to its end, though it is there: the disk's or the network's fault; None if it can.

    For files that couldn't be decoded: decoders tell it from damage of the video badly.
    """
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None


class _Frames:
    """The way of frames to the parent: slots of a memory that it shares, each written once the parent is done with
    it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._slots: npt.NDArray[np.uint8] | None = None
        self._num_sent = 0
        self._num_read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._await_read(unread=0)

    def put(self, plan: ClipPlan, place: int, frame: npt.NDArray[np.uint8]) -> None:
        if self._slots is None or self._slots.shape[1:] != frame.shape:
            self._await_read(unread=0)
            self._slots = self._shared(plan, frame.shape)
        self._await_read(unread=SLOTS - 1)
        slot = self._num_sent % SLOTS
        self._slots[slot] = frame
        self._num_sent += 1
        send(self._channel, {"place": place, "slot": slot})

    def _await_read(self, unread: int) -> None:
        while self._num_sent - self._num_read > unread:
            receive(self._channel)
            self._num_read += 1

    def _shared(self, plan: ClipPlan, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        send(self._channel, {"plan": asdict(plan), "shape": shape[:2]})
        _, memory = receive(self._channel)
        assert memory is not None
        slots = np.frombuffer(mmap.mmap(memory, 0), dtype=np.uint8).reshape(SLOTS, *shape)
        os.close(memory)
        return slots


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except (MemoryError, OSError) as error:
        # Shared memory that can't be mapped is an OSError.
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        os._exit(OUT_OF_MEMORY)
