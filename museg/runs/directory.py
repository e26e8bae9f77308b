"""The run directory: everything that a run leaves behind, in the places that other programs rely on.

runs/<name>/
    config.yaml   metrics.jsonl   summary.json   report.html   driver.lock   tensorboard/
    workers.json   prometheus_targets.json (both while the run goes)
    rollouts/step-NNNNNN.jsonl   bad_steps/step-NNNNNN.jsonl (steps that were skipped)
    checkpoints/step-NNNNNN/{hf,state,trainer.json,manifest.json}
    checkpoints/best → step-NNNNNN
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from museg.errors import DataError
from museg.runs.checkpoints import STEP_FOLDER, Checkpoints, step_folder
from museg.runs.durable import append_line, write_atomically

__all__ = ["STEP_FOLDER", "RunDirectory", "step_folder", "write_atomically"]


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
    def skipped_file(self) -> Path:
        """Samples whose videos couldn't be used, with what was drawn in their place."""
        return self.path / "videos_skipped.jsonl"

    @property
    def workers_file(self) -> Path:
        """Worker → its process, while the run goes; one that was killed leaves it behind."""
        return self.path / "workers.json"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def outside_file(self) -> Path:
        """Service that the run is logged to → its id of the run."""
        return self.path / "logged_to.json"

    @property
    def targets_files(self) -> tuple[Path, Path]:
        """Where Prometheus finds the run's metrics while it goes: the second beside those of all runs of the root."""
        return self.path / "prometheus_targets.json", self.path.parent / "prometheus" / f"{self.path.name}.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def rollouts_file(self, step: int) -> Path:
        return self.path / "rollouts" / f"step-{step:06d}.jsonl"

    def bad_step_file(self, step: int) -> Path:
        return self.path / "bad_steps" / f"{step_folder(step)}.jsonl"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoint_store.folder(step)

    def create(self, config_yaml: str) -> None:
        """Make the folders and write the resolved configuration."""
        for folder in (self.path, self.checkpoints, self.path / "rollouts"):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, config_yaml)

    def append_metrics(self, metrics: Mapping[str, object]) -> None:
        append_line(self.metrics_file, json.dumps(metrics, allow_nan=False))

    def append_skipped(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Nothing is written for a run that ends before it has begun."""
        if self.path.is_dir():
            with self.skipped_file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)

    def write_rollouts(self, step: int, rows: Iterable[Mapping[str, object]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        write_atomically(self.rollouts_file(step), text)

    def write_bad_step(self, step: int, rows: Iterable[Mapping[str, object]]) -> None:
        """Rows of a step that was skipped, instead of those of `write_rollouts`."""
        self.bad_step_file(step).parent.mkdir(exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        write_atomically(self.bad_step_file(step), text)

    def write_summary(self, summary: Mapping[str, object]) -> None:
        write_atomically(self.summary_file, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def read_skipped(self) -> list[dict[str, object]]:
        return list(_read_lines(self.skipped_file))

    def read_metrics(self) -> list[dict[str, object]]:
        return list(_read_lines(self.metrics_file))

    def rows_until(self, step: int) -> list[dict[str, object]]:
        """The rows of metrics.jsonl up to a step, whatever is on record beyond."""
        return [row for row in self.read_metrics() if int(str(row["step"])) <= step]

    def has_row(self, step: int) -> bool:
        """Whether the step is on record in metrics.jsonl."""
        return any(int(str(row["step"])) == step for row in self.read_metrics())

    def read_rollouts(self, step: int) -> list[dict[str, object]]:
        return list(_read_lines(self.rollouts_file(step)))

    def rollout_steps(self) -> list[int]:
        """Steps whose completions are on record, in order."""
        matches = (STEP_FOLDER.fullmatch(file.stem) for file in (self.path / "rollouts").glob("step-*.jsonl"))
        return sorted(int(match.group(1)) for match in matches if match)

    @property
    def checkpoint_store(self) -> Checkpoints:
        return Checkpoints(self.checkpoints)

    def checkpoint_steps(self) -> list[int]:
        """Steps of the finished checkpoints, in order."""
        return self.checkpoint_store.steps()

    def forget_after(self, step: int) -> None:
        """Drop the metrics, rollouts and skipped videos of steps after `step`, which a resumed run does again."""
        write_atomically(self.metrics_file, "".join(json.dumps(row) + "\n" for row in self.rows_until(step)))
        if self.skipped_file.exists():
            skipped = [row for row in self.read_skipped() if int(str(row["step"])) <= step]
            write_atomically(self.skipped_file, "".join(json.dumps(row) + "\n" for row in skipped))
        for later in self.rollout_steps():
            if later > step:
                self.rollouts_file(later).unlink()
        for file in (self.path / "bad_steps").glob("step-*.jsonl"):
            if (match := STEP_FOLDER.fullmatch(file.stem)) and int(match.group(1)) > step:
                file.unlink()


def _read_lines(path: Path) -> Iterator[dict[str, object]]:
    """The rows of a file. What is left of a last one that a kill has torn, or that is being written, is none."""
    if not path.is_file():
        return
    *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate([*lines, *([rest] if rest else [])], 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number > len(lines):
                return
            raise DataError(f"{path}, line {number}: not JSON ({error.msg}); remove the line to go on") from error
