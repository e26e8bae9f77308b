"""Decodes videos from anybody in a process of its own, which a crash, a hang or a kill costs and nothing more."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from museg.errors import VideoError
from museg.video.clip import VideoClip
from museg.video.decoding import require_file
from museg.video.decoding_process import DecodingProcess, LostError, UnreadableError
from museg.video.limits import DecodeLimits
from museg.video.pixel_budget import FrameBudget

_TRIES_OF_WHAT_COMES_AGAIN = 2
"""A video that takes too long or too much memory most likely does so again; a slow disk may have been why."""


class Decoder:
    """`decode_clip` in a disposable process: the same clips and errors, and VideoError where decoding kills or hangs.

        with Decoder(limits) as decoder:
            clip = decoder.clip(path, video="a.mp4", budget=budget)

    The process is started at the first video and kept while it is healthy. Not for several threads at once.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self.limits = limits
        self._process: DecodingProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the decoding process, where there is one."""
        return None if self._process is None else self._process.pid

    def clip(self, path: Path, *, video: str, budget: FrameBudget) -> VideoClip:
        """The clip of the file at `path`.

        Raises:
            VideoError: as `decode_clip`; or the video cost as many processes as it may.
            UnreadableError: its storage failed.
            RuntimeError: decoding processes don't start.
        """
        require_file(path, video, self.limits)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(video, str(error.strerror)) from error
        try:
            return self._clip(file, video, budget)
        except UnreadableError as error:
            raise _unreadable(video, str(error)) from error
        finally:
            os.close(file)

    def close(self) -> None:
        """End the process; the next video starts another."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _clip(self, file: int, video: str, budget: FrameBudget) -> VideoClip:
        tries = 0
        while True:
            self._process = process = self._process or DecodingProcess(self.limits)
            try:
                return process.clip(file, video, budget)
            except LostError as lost:
                tries += 1
                attempts = min(_TRIES_OF_WHAT_COMES_AGAIN, self.limits.attempts) if lost.again else self.limits.attempts
                if tries < attempts:
                    continue
                if not process.has_started:
                    raise RuntimeError(f"the decoding process {lost}{_times(tries)} before it began") from lost
                raise VideoError(f"video {video}: decoding it {lost}{_times(tries)}: re-encode or remove it") from lost
            finally:
                if not process.is_idle:
                    self.close()


def _unreadable(video: str, reason: str) -> UnreadableError:
    return UnreadableError(f"video {video}: the file can't be read ({reason}): see to its storage")


def _times(count: int) -> str:
    return "" if count == 1 else f" {count} times"
