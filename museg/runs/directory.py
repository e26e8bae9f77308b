"""The run directory: everything that a run leaves behind, in the places that other programs rely on.

runs/<name>/
    config.yaml   metrics.jsonl   summary.json   report.html   workers.json (while the run goes)
    rollouts/step-NNNNNN.jsonl
    checkpoints/step-NNNNNN/{hf,state,trainer.json}
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from museg.errors import DataError

STEP_FOLDER = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Paths and atomic writes of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def summary_file(self) -> Path:
        return self.path / "summary.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def workers_file(self) -> Path:
        """Worker → its process, while the run goes; one that was killed leaves it behind."""
        return self.path / "workers.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def rollouts_file(self, step: int) -> Path:
        return self.path / "rollouts" / f"step-{step:06d}.jsonl"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / step_folder(step)

    def create(self, config_yaml: str) -> None:
        """Make the folders and write the resolved configuration."""
        for folder in (self.path, self.checkpoints, self.path / "rollouts"):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, config_yaml)

    def append_metrics(self, metrics: Mapping[str, object]) -> None:
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics, allow_nan=False) + "\n")

    def write_rollouts(self, step: int, rows: Iterable[Mapping[str, object]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        write_atomically(self.rollouts_file(step), text)

    def write_summary(self, summary: Mapping[str, object]) -> None:
        write_atomically(self.summary_file, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def read_metrics(self) -> list[dict[str, object]]:
        return list(_read_lines(self.metrics_file))

    def read_rollouts(self, step: int) -> list[dict[str, object]]:
        return list(_read_lines(self.rollouts_file(step)))

    def rollout_steps(self) -> list[int]:
        """Steps whose completions are on record, in order."""
        matches = (STEP_FOLDER.fullmatch(file.stem) for file in (self.path / "rollouts").glob("step-*.jsonl"))
        return sorted(int(match.group(1)) for match in matches if match)

    def checkpoint_steps(self) -> list[int]:
        """Steps of the finished checkpoints, in order."""
        if not self.checkpoints.is_dir():
            return []
        matches = (STEP_FOLDER.fullmatch(folder.name) for folder in self.checkpoints.iterdir() if folder.is_dir())
        return sorted(int(match.group(1)) for match in matches if match)

    @contextmanager
    def new_checkpoint(self, step: int) -> Iterator[Path]:
        """A folder to fill that becomes `checkpoints/step-NNNNNN` only when it is complete."""
        final = self.checkpoint(step)
        partial = final.with_name(f".{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)

    def drop_old_checkpoints(self, keep: int, pinned: Collection[int] = ()) -> None:
        """Remove all but the newest `keep` checkpoints and those of the steps in `pinned`, which don't count."""
        steps = [step for step in self.checkpoint_steps() if step not in pinned]
        for step in steps[:-keep]:
            shutil.rmtree(self.checkpoint(step))

    def forget_after(self, step: int) -> None:
        """Drop the metrics and rollouts of steps after `step`, which a resumed run does again."""
        rows = [row for row in self.read_metrics() if int(str(row["step"])) <= step]
        write_atomically(self.metrics_file, "".join(json.dumps(row) + "\n" for row in rows))
        for later in self.rollout_steps():
            if later > step:
                self.rollouts_file(later).unlink()


def step_folder(step: int) -> str:
    """Name of a step's checkpoint."""
    return f"step-{step:06d}"


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _read_lines(path: Path) -> Iterator[dict[str, object]]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: not JSON ({error.msg}); remove the line to go on") from error
