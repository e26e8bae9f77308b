"""A rank's state as values that outlive the rank's process."""

from __future__ import annotations

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


def snapshot(step: int, save_state: Callable[[Path], None]) -> tuple[SnapshotFacts, Files, Files]:
    """What `save_state` writes into a folder: its facts, the files that all ranks need, and those of this rank alone.

    Collective, as `save_state` is.
    """
    started = time.perf_counter()
    files = written_by(save_state)
    shared = {name: content for name, content in files.items() if Path(name).name.startswith(_OF_ALL_RANKS)}
    own = {name: content for name, content in files.items() if name not in shared}
    num_bytes = sum(content.size for content in files.values())
    return SnapshotFacts(step=step, num_bytes=num_bytes, seconds=time.perf_counter() - started), shared, own


def written_by(save: Callable[[Path], None]) -> Files:
    """The files that `save` writes into a folder, in memory."""
    with _scratch() as folder:
        save(folder)
        return {str(path.relative_to(folder)): _contents(path) for path in folder.rglob("*") if path.is_file()}


@contextmanager
def laid_out(*parts: Files) -> Iterator[Path]:
    """A folder with the files of all parts, as long as the context."""
    with _scratch() as folder:
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
def _scratch() -> Iterator[Path]:
    """A folder in memory where the node offers one; it goes with the context, or is found by the next to need one."""
    root = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    try:
        yield folder
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
