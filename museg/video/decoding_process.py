"""The owner's end of one decoding process (museg/video/child.py)."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.clip import VideoClip
from museg.video.clip_plan import ClipPlan
from museg.video.decoding import ResizedFrames, planned_clip
from museg.video.limits import DecodeLimits
from museg.video.pixel_budget import FrameBudget
from museg.video.wire import OUT_OF_MEMORY, SLOTS, receive, send

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 5.0
"""A killed process that waits for a disk may not be gone by then; it isn't waited for longer."""


class LostError(Exception):
    """A decoding process is of no more use; the message is a predicate, what it did."""

    def __init__(self, did: str, *, again: bool = False) -> None:
        """`again`: another process would most likely do the same."""
        super().__init__(did)
        self.again = again


class UnreadableError(VideoError):
    """A video whose storage failed: not the video's fault."""


class DecodingProcess:
    """A process that decodes one video after the other. After LostError it is good for nothing but `end`."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._channel, theirs = socket.socketpair()
        # What was imported here is to be found there, wherever a cluster put it.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        arguments = (theirs.fileno(), os.getpid(), limits.memory_bytes)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "museg.video.child", *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._deadline = time.monotonic() + _START_TIMEOUT_S
        self._has_started = False
        self._is_idle = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """Whether it waits for another video."""
        return self._is_idle

    @property
    def has_started(self) -> bool:
        return self._has_started

    def clip(self, file: int, video: str, budget: FrameBudget) -> VideoClip:
        """The clip of an open file. Raises VideoError if it can't be decoded, LostError if the process was lost."""
        try:
            if not self._has_started:
                self._hear("ready")
                self._has_started = True
            self._is_idle = False
            self._deadline = time.monotonic() + self._limits.timeout_s
            bounds = {name: getattr(budget, name) for name in ("fps", "min_frames", "max_frames")}
            self._say({"video": video, "limits": asdict(self._limits), **bounds}, file)
            clip = self._decoded(video, budget)
        except TimeoutError as error:
            what = f"took longer than video.decode_timeout_s={self._limits.timeout_s:g}"
            raise LostError(what if self._has_started else "couldn't begin in time", again=True) from error
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error
        except (LookupError, TypeError, ValueError) as error:
            raise LostError(f"garbled its result ({error})") from error
        self._is_idle = True
        return clip

    def end(self) -> None:
        """Kill the process."""
        self._channel.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT_S)

    def _decoded(self, video: str, budget: FrameBudget) -> VideoClip:
        plan: ClipPlan | None = None
        resized = ResizedFrames(0, budget)
        slots = np.empty((0, 0, 0, 3), dtype=np.uint8)
        while "done" not in (said := self._hear("plan", "place", "done")):
            if "plan" in said:
                plan = ClipPlan(**said["plan"])
                resized, slots = ResizedFrames(len(plan.indices), budget), self._shared(*said["shape"])
                continue
            try:
                resized.put(said["place"], slots[said["slot"]])
            except VideoError as error:
                raise VideoError(f"video {video}: {error}") from error
            self._say({})
        if plan is None:
            raise ValueError("no frames")
        return planned_clip(plan, resized.frames, video)

    def _shared(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Memory for some frames, which the process can write and can't shorten, `[slots, H, W, 3]`."""
        if not 0 < height * width <= self._limits.max_native_pixels:
            raise ValueError(f"frames of {width} × {height} pixels")
        memory = os.memfd_create("museg-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(memory, SLOTS * height * width * 3)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self._say({"slots": SLOTS}, memory)
            return np.frombuffer(mmap.mmap(memory, 0), dtype=np.uint8).reshape(SLOTS, height, width, 3)
        finally:
            os.close(memory)

    def _say(self, message: Mapping[str, object], file: int | None = None) -> None:
        self._channel.settimeout(self._patience_s())
        send(self._channel, message, file)

    def _hear(self, *expected: str) -> dict[str, Any]:
        """What it says next, one of what is expected. Raises VideoError if it says why there is none."""
        self._channel.settimeout(self._patience_s())
        said, file = receive(self._channel)
        if file is not None:
            os.close(file)
        if "bad" in said or "storage" in said:
            self._is_idle = True
            raise VideoError(str(said["bad"])) if "bad" in said else UnreadableError(str(said["storage"]))
        if not any(word in said for word in expected):
            raise ValueError(f"{sorted(said)} in the place of {' or '.join(expected)}")
        return said

    def _patience_s(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _lost(self) -> LostError:
        try:
            code = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return LostError("broke the connection")
        if code == OUT_OF_MEMORY:
            memory = f"video.decode_memory_gib={self._limits.memory_gib:g}"
            return LostError(f"took more memory than {memory} allows", again=True)
        return LostError(f"ended its process ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})")
