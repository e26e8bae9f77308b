"""What a checkpoint consists of: each file with its size and its hash, so that a torn or changed one is noticed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from typing_extensions import Buffer

from museg.errors import CheckpointError
from museg.runs.durable import write_atomically

MANIFEST = "manifest.json"
STATE_FOLDER = "state"
"""Of pickles, so a file that the manifest doesn't name mustn't lie there."""
_FORMAT = 1
_CHUNK_BYTES = 4 * 1024**2
_NUM_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What a file must be."""

    num_bytes: int
    sha256: str


Records = Mapping[str, FileRecord]
"""Path relative to the checkpoint, with `/` → what the file must be."""


def record_of(path: Path) -> FileRecord:
    """Read a file and say what it is."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return FileRecord(num_bytes=num_bytes, sha256=digest.hexdigest())


def write_recorded(content: Buffer, target: Path) -> FileRecord:
    """Write a file with its folders, have it on the disk and say what was written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, view = hashlib.sha256(), memoryview(content)
    with target.open("wb") as file:
        for start in range(0, view.nbytes, _CHUNK_BYTES):
            chunk = view[start : start + _CHUNK_BYTES]
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(num_bytes=view.nbytes, sha256=digest.hexdigest())


def write_manifest(folder: Path, records: Records) -> None:
    write_atomically(folder / MANIFEST, _text_of(records))


def check_whole(folder: Path, *, under: str = "") -> None:
    """Read every file of a checkpoint, or those of the folder `under` in it, and compare it with the manifest.

    Raises:
        CheckpointError: what is missing, torn, changed or too many.
    """
    records = {name: record for name, record in _records(folder).items() if name.startswith(under)}
    for name, record in records.items():
        file = folder / name
        if not file.is_file() or file.is_symlink():
            raise CheckpointError(f"{folder} is torn: {name} is missing")
        if (num_bytes := file.stat().st_size) != record.num_bytes:
            raise CheckpointError(f"{folder} is torn: {name} has {num_bytes} bytes and should have {record.num_bytes}")
    for name in files_below(folder / STATE_FOLDER):
        if f"{STATE_FOLDER}/{name}".startswith(under) and f"{STATE_FOLDER}/{name}" not in records:
            raise CheckpointError(f"{folder} was changed: its manifest doesn't name {STATE_FOLDER}/{name}")
    # Hashing lets go of the interpreter's lock.
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        found = threads.map(record_of, (folder / name for name in records))
        for (name, record), now in zip(records.items(), found, strict=True):
            if now != record:
                raise CheckpointError(f"{folder} is corrupt: {name} isn't what was written (SHA-256 differs)")


def files_below(folder: Path) -> Iterator[str]:
    """All files and links below a folder, relative to it, with `/`, in order."""
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_dir():
            yield file.relative_to(folder).as_posix()


def _records(folder: Path) -> Records:
    file = folder / MANIFEST
    if not file.is_file():
        raise CheckpointError(
            f"{folder} has no {MANIFEST}: it is torn, or of a museg that wrote none, and can't be checked; "
            f"to start from its weights set model.path={folder / 'hf'}"
        )
    try:
        text = file.read_text(encoding="utf-8")
        records = {str(name): FileRecord(**record) for name, record in json.loads(text)["files"].items()}
        untouched = _text_of(records) == text
    except (ValueError, TypeError, KeyError, AttributeError):
        untouched = False
    if not untouched:
        raise CheckpointError(f"{folder} is corrupt: {MANIFEST} isn't what was written")
    return records


def _text_of(records: Records) -> str:
    files = {name: asdict(records[name]) for name in sorted(records)}
    return json.dumps({"format": _FORMAT, "files": files}, indent=1) + "\n"
