"""A rank's state as values that outlive the rank's process."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from museg.errors import CheckpointError

Files = Mapping[str, npt.NDArray[np.uint8]]
"""Contents of files by their paths within a folder."""

_IN_MEMORY = Path("/dev/shm")
_PREFIX = "museg-learner-"
_OF_ALL_RANKS = "mp_rank_"
"""So begin DeepSpeed's files that one rank writes and every rank reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """What a rank tells of its part of a snapshot."""

    step: int
    """GRPO steps since the optimizer's start."""
    num_bytes: int
    seconds: float
    """That the rank was held up, without the copy into the object store."""


def snapshot(step: int, save_state: Callable[[Path], None], room_bytes: int) -> tuple[SnapshotFacts, Files, Files]:
    """What `save_state` writes into a folder: its facts, the files that all ranks need, and those of this rank alone.

    Collective, as `save_state` is. Raises as `written_by`.
    """
    started = time.perf_counter()
    files = written_by(save_state, room_bytes)
    shared = {name: content for name, content in files.items() if Path(name).name.startswith(_OF_ALL_RANKS)}
    own = {name: content for name, content in files.items() if name not in shared}
    num_bytes = sum(content.size for content in files.values())
    return SnapshotFacts(step=step, num_bytes=num_bytes, seconds=time.perf_counter() - started), shared, own


def written_by(save: Callable[[Path], None], room_bytes: int) -> Files:
    """The files that `save` writes into a folder, in memory.

    Args:
        save: all ranks of a node may write at the same time.
        room_bytes: that they may need together.

    Raises:
        CheckpointError: there is no room.
    """
    with _scratch(room_bytes) as folder:
        save(folder)
        return {str(path.relative_to(folder)): _contents(path) for path in folder.rglob("*") if path.is_file()}


@contextmanager
def laid_out(*parts: Files) -> Iterator[Path]:
    """A folder with the files of all parts, as long as the context. Raises as `written_by`."""
    with _scratch(sum(content.size for files in parts for content in files.values())) as folder:
        for files in parts:
            write_files(files, folder)
        yield folder


def write_files(files: Files, folder: Path) -> None:
    """Write the files below the folder, with their parents. Raises OSError if there is no room."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(path)


@contextmanager
def _scratch(room_bytes: int) -> Iterator[Path]:
    """A folder in memory where that has room; it goes with the context, or is swept by the next to need one."""
    in_memory = os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > room_bytes
    root = _IN_MEMORY if in_memory else Path(tempfile.gettempdir())
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    try:
        yield folder
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise CheckpointError(
            f"a copy of the learner's state, up to {room_bytes / 1e9:.1f} GB, has no room in {_IN_MEMORY} or {root} "
            "on a learner's node: make room there, or set TMPDIR"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what ranks left that were killed while they wrote."""
    for folder in root.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _contents(path: Path) -> npt.NDArray[np.uint8]:
    """Where they lie: mapped memory stays when its file is removed."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
