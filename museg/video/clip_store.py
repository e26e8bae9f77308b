"""Decoded clips on disk, kept over runs."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from museg.errors import ConfigError
from museg.video.clip import VideoClip
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget

_LAYOUT = 1
"""Part of every key: raise it where decoding gives other frames, or they are stored in another way."""

_SUFFIX = ".museg-clip"
"""Of everything that this module writes, so that nothing else in the folder is ever removed."""

_ARRAYS = ("frames", "frame_times_s")


class Decode(Protocol):
    """Makes the clip of a file; raises VideoError."""

    def __call__(self, path: Path, *, video: str, budget: FrameBudget) -> VideoClip: ...


class ClipStore:
    """A folder of decoded clips of bounded size, shared by the processes of a node.

        clip = ClipStore(folder, max_bytes=…).clip(path, video="a.mp4", budget=budget)

    A clip is found by its video file (path, size, time of change) and the budget. The least recently used are removed
    first. Entries appear whole; one that is damaged nevertheless is noticed by its checksum, removed and made anew.
    """

    def __init__(self, folder: Path, *, max_bytes: int, decode: Decode = decode_clip) -> None:
        """`decode` makes the clips that aren't there, as `decode_clip` does."""
        self.folder = folder
        self.max_bytes = max_bytes
        self._decode = decode

    def clip(self, path: Path, *, video: str, budget: FrameBudget) -> VideoClip:
        """The clip from disk, or decoded and kept.

        Raises VideoError as decoding does, and ConfigError if the folder can't be written to.
        """
        self._require_folder()
        if not path.is_file():
            return self._decode(path, video=video, budget=budget)
        entry = self.folder / f"{_key(path, budget)}{_SUFFIX}"
        clip = _read(entry, video)
        if clip is None:
            clip = self._decode(path, video=video, budget=budget)
            self._keep(entry, clip)
        return clip

    def _require_folder(self) -> None:
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder.is_dir() and os.access(self.folder, os.W_OK)):
            raise ConfigError(f"video.cache_dir: {self.folder} isn't a folder that this node can write to")

    def _keep(self, entry: Path, clip: VideoClip) -> None:
        aside = entry.with_name(f"{uuid.uuid4().hex}{_SUFFIX}")
        # A full disk, or another process that removes entries at the same time, costs this entry and no more.
        with suppress(OSError, SafetensorError):
            _write(aside, clip)
            aside.replace(entry)
            self._remove_least_recently_used()
        aside.unlink(missing_ok=True)

    def _remove_least_recently_used(self) -> None:
        with os.scandir(self.folder) as found:
            entries = [(entry.stat(), entry.path) for entry in found if entry.name.endswith(_SUFFIX)]
        num_bytes = sum(stat.st_size for stat, _ in entries)
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
            if num_bytes <= self.max_bytes:
                return
            Path(path).unlink(missing_ok=True)
            num_bytes -= stat.st_size


def _key(path: Path, budget: FrameBudget) -> str:
    stat = path.stat()
    identity = [_LAYOUT, str(path.resolve()), stat.st_size, stat.st_mtime_ns, asdict(budget)]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _write(path: Path, clip: VideoClip) -> None:
    scalars = {field.name: getattr(clip, field.name) for field in fields(clip) if field.name not in _ARRAYS}
    metadata = {"scalars": json.dumps(scalars), "checksum": str(_checksum(clip))}
    save_file({name: getattr(clip, name) for name in _ARRAYS}, path, metadata)


def _read(path: Path, video: str) -> VideoClip | None:
    """The stored clip, marked as used; None where there is none, or a damaged one, which is removed."""
    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata()
            scalars = json.loads(metadata["scalars"]) | {"video": video}
            clip = VideoClip(**scalars, **{name: stored.get_tensor(name) for name in _ARRAYS})
        intact = _checksum(clip) == int(metadata["checksum"])
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        path.unlink(missing_ok=True)
        return None
    with suppress(FileNotFoundError):
        # By default the kernel's clock would set it, whose ticks are milliseconds apart.
        os.utime(path, ns=(time.time_ns(), time.time_ns()))
    return clip


def _checksum(clip: VideoClip) -> int:
    return zlib.crc32(clip.frame_times_s.data, zlib.crc32(clip.frames.data))
