"""Which file a sample's `video` names, checked on the open file: what is decoded is what was checked.

A sample's path is data, which may come from anybody. It may name a regular file below `data.video_root` and nothing
else: no other file of the machine, no URL (which a decoder would fetch), no pipe or device (which would block it).
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from museg.errors import VideoError
from museg.video.containers import HEADER_BYTES, is_video_container

MAX_NAME_BYTES = 255
"""Of one part of a path, on every common file system."""

MAX_PATH_BYTES = 4095

_MAX_SHOWN = 200
"""Longest part of a name that a message quotes, in characters."""

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.,-]*:")
"""Also FFmpeg's own protocols, such as `subfile,,start,0,end,0,,:` and `concat:`."""

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, halves of surrogate pairs, and line and paragraph separators."""


@contextmanager
def opened_video(root: Path, video: str, *, allow_outside: bool = False) -> Iterator[Path]:
    """The file that `video` names below `root`, as a path that stays that very file while the context is open.

        with opened_video(root, sample.video) as path:
            clip = decode_clip(path, video=sample.video, budget=budget)

    The path is the process's own handle (`/proc/self/fd/N`): whoever swaps the file or a folder above it after the
    check changes nothing. Only a regular file is opened, so that nothing can block or wake a device, and of it only the
    first bytes are read, which must be those of a video (museg/video/containers.py).

    Args:
        root: `data.video_root`; may be a link itself.
        video: a sample's `video`, of any content.
        allow_outside: `data.allow_outside`, for absolute paths and for links that lead out of `root`.

    Raises VideoError, in one line that names the video, for anything but such a file.
    """
    reason = unsafe_name(video, allow_outside=allow_outside)
    if reason:
        raise VideoError(f"video {shown(video)}: {reason}")
    descriptor = _handle(root / video, video)
    try:
        if not allow_outside and not _place(descriptor).is_relative_to(os.path.realpath(root)):
            raise VideoError(
                f"video {shown(video)}: it is a link that leads out of data.video_root ({root}): put the video there, "
                "or allow such links (data.allow_outside=true)"
            )
        _require_video(descriptor, video)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def resolve_video(root: Path, video: str, *, allow_outside: bool = False) -> Path:
    """Where the file lies that `video` names below `root`, without links: for messages and keys, not for opening.

    Raises VideoError as `opened_video` does.
    """
    with opened_video(root, video, allow_outside=allow_outside) as path:
        return Path(os.readlink(path))


def unsafe_name(video: str, *, allow_outside: bool = False) -> str | None:
    """Why `video` can't be the path of a video, whatever files there are, and how to mend it; None if it can."""
    if not video.strip():
        return "its path is empty"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in video):
        return "its path holds a control character or what is no text: rename it"
    if _SCHEME.match(video):
        return "its path is a URL: only files are read, by a path below data.video_root"
    if len(video.encode()) > MAX_PATH_BYTES or max(len(part.encode()) for part in video.split("/")) > MAX_NAME_BYTES:
        return f"its path is too long for a file (at most {MAX_NAME_BYTES} bytes a name, {MAX_PATH_BYTES} in all)"
    path = PurePosixPath(video)
    if ".." in path.parts:
        return "its path holds '..': write it relative to data.video_root"
    if path.is_absolute() and not allow_outside:
        return "its path is absolute: write it relative to data.video_root, or allow it (data.allow_outside=true)"
    return None


def shown(text: str, max_characters: int = _MAX_SHOWN) -> str:
    """A name of any content as a message can quote it: printable, in one line, of bounded length."""
    cut = text if len(text) <= max_characters else text[: max_characters - 1] + "…"
    return cut if cut.strip() and cut.isprintable() else ascii(cut)


def _handle(path: Path, video: str) -> int:
    """A descriptor that names the file without opening it for reading."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(
            f"video {shown(video)}: there is no file {_shown_path(path)}: "
            "check data.video_root and the sample's `video`"
        ) from error
    except OSError as error:
        raise VideoError(
            f"video {shown(video)}: {_shown_path(path)} can't be opened ({error.strerror}): mend or remove it"
        ) from error


def _place(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


def _shown_path(path: Path) -> str:
    return shown(str(path), MAX_PATH_BYTES)


def _require_video(descriptor: int, video: str) -> None:
    status = os.stat(descriptor)
    what = f"video {shown(video)}: {_shown_path(_place(descriptor))}"
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{what} isn't a file")
    if status.st_size == 0:
        raise VideoError(f"{what} is empty")
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise VideoError(f"{what} can't be read ({error.strerror}): mend or remove it") from error
    if not is_video_container(header):
        raise VideoError(f"{what} isn't a video, by its first bytes: re-encode it, to MP4 say, or remove it")
