"""The folder of a run's checkpoints: each appears whole or not at all, old ones go, the best one stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from museg.errors import CheckpointError
from museg.runs.durable import sync_file, sync_folder
from museg.runs.manifest import MANIFEST, FileRecord, Records, check_whole, files_below, record_of, write_manifest

STEP_FOLDER = re.compile(r"step-(\d{6,})")
BEST = "best"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """`step-NNNNNN` folders with a manifest each.

        with checkpoints.new(100) as folder:
            ...                                  # fill it
        step, complaints = checkpoints.newest_whole()

    Beside them lie, while something is under way or was killed, `.step-NNNNNN.partial` (being written),
    `….replaced` (about to be written over) and `….removed`.
    """

    path: Path

    def folder(self, step: int) -> Path:
        return self.path / step_folder(step)

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, in order."""
        if not self.path.is_dir():
            return []
        matches = (STEP_FOLDER.fullmatch(folder.name) for folder in self.path.iterdir() if folder.is_dir())
        return sorted(int(match.group(1)) for match in matches if match)

    @contextmanager
    def new(self, step: int) -> Iterator[Path]:
        """A folder to fill that becomes `step-NNNNNN` at the end, and is removed if that fails."""
        with ExitStack() as unless_done:
            unless_done.callback(self.give_up, step)
            yield self.begin(step)
            self.commit(step)
            unless_done.pop_all()

    def begin(self, step: int) -> Path:
        """An empty folder to fill. Until `commit`, no reader takes it for a checkpoint."""
        partial = self._aside(step, "partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        return partial

    def commit(self, step: int, written: Records | None = None) -> None:
        """Make `step-NNNNNN` of the filled folder, once all of it is on the disk with its manifest.

        `written` are files that are on the disk and recorded already; all others are read and recorded here.
        """
        partial, final, replaced = self._aside(step, "partial"), self.folder(step), self._aside(step, "replaced")
        records = dict(written or {})
        for name in files_below(partial):
            if name not in records and name != MANIFEST:
                records[name] = _recorded_on_disk(partial / name)
        write_manifest(partial, records)
        for folder in (path for path in partial.rglob("*") if path.is_dir()):
            sync_folder(folder)
        sync_folder(partial)
        shutil.rmtree(replaced, ignore_errors=True)
        if final.exists():
            final.rename(replaced)
        partial.rename(final)
        sync_folder(self.path)
        shutil.rmtree(replaced, ignore_errors=True)

    def give_up(self, step: int) -> None:
        """Remove what was written of a checkpoint that won't be finished."""
        shutil.rmtree(self._aside(step, "partial"), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed run left half written, half replaced or half removed."""
        for left in self.path.glob(".step-*.replaced"):
            final = left.with_name(left.name[1:].removesuffix(".replaced"))
            if not final.exists():
                left.rename(final)
        for kind in ("partial", "replaced", "removed"):
            for left in self.path.glob(f".step-*.{kind}"):
                shutil.rmtree(left, ignore_errors=True)

    def newest_whole(self) -> tuple[int | None, list[str]]:
        """The last step whose checkpoint is whole, and why each later one isn't. All bytes of it are read."""
        complaints: list[str] = []
        for step in reversed(self.steps()):
            try:
                check_whole(self.folder(step))
            except CheckpointError as error:
                complaints.append(str(error))
            else:
                return step, complaints
        return None, complaints

    def prune(self, keep: int, *, newest: int, pinned: Collection[int] = (), best: int | None = None) -> None:
        """Remove all but the last `keep` checkpoints up to `newest`, the best one and those of the steps in `pinned`.

        Pinned ones don't count, and later ones, which a run that went on from an earlier one has left behind, neither.
        """
        steps = [step for step in self.steps() if step not in pinned and step <= newest]
        for step in (old for old in steps[:-keep] if old != best):
            removed = self._aside(step, "removed")
            # A kill while files go must not leave half a checkpoint under its name.
            self.folder(step).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)

    def mark_best(self, step: int) -> None:
        """Have the link `best` lead to the checkpoint of a step, where the file system has links."""
        link = self.path / f".{BEST}.partial"
        with suppress(OSError):
            link.unlink(missing_ok=True)
            link.symlink_to(step_folder(step))
            link.replace(self.path / BEST)

    def _aside(self, step: int, kind: str) -> Path:
        return self.path / f".{step_folder(step)}.{kind}"


def best_step(metrics: Iterable[Mapping[str, object]], key: str, steps: Collection[int]) -> int | None:
    """Of `steps` the first with the highest value of `key` in its row of metrics.jsonl; None if no row has it."""
    values = {
        int(str(row["step"])): float(value)
        for row in metrics
        if isinstance(value := row.get(key), (int, float)) and int(str(row["step"])) in steps
    }
    return max(values, key=lambda step: (values[step], -step), default=None)


def step_folder(step: int) -> str:
    """Name of a step's checkpoint."""
    return f"step-{step:06d}"


def _recorded_on_disk(file: Path) -> FileRecord:
    sync_file(file)
    return record_of(file)
