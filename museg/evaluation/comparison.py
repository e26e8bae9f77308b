"""Runs beside each other and beside the published rows, and the settings in which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from museg.config.loading import load_config
from museg.errors import DataError
from museg.evaluation.benchmarks import FACTS, Benchmark
from museg.evaluation.exams import BLIND
from museg.evaluation.published import PUBLISHED
from museg.evaluation.results import EvalResult, read_result
from museg.evaluation.setting_words import described, described_published, described_training
from museg.runs.directory import RunDirectory
from museg.runs.summary import read_summary

Column = tuple[Benchmark, str]
"""A metric of a benchmark."""
RESULTS_FILE = "results.json"
EVALUATIONS_FOLDER = "evaluations"
"""Of a run directory, for results that `museg eval --run` leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    name: str
    scores: Mapping[Column, float]
    settings: Mapping[Benchmark, Mapping[str, str]]
    """Setting → value, in words, of each benchmark's evaluation."""
    blind: Mapping[Column, float] = field(default_factory=dict)
    """The same questions with the videos swapped, where they were asked."""
    constant: Mapping[Column, float] = field(default_factory=dict)
    """The best single answer to all questions."""
    published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    columns: tuple[Column, ...]
    rows: tuple[ComparisonRow, ...]
    differences: Mapping[Benchmark, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Benchmark → setting → row → value, of the settings in which its rows differ."""

    def best(self, column: Column) -> float | None:
        """The highest value of a column, if there is more than one to choose from."""
        values = [row.scores[column] for row in self.rows if column in row.scores]
        return max(values) if len(values) > 1 else None


def compare(folders: Sequence[Path], only: Benchmark | None = None) -> Comparison:
    """Compare run directories and folders of `museg eval`'s results, on one benchmark or on all that they have.

    Published rows come first, where they have any of the columns.

    Raises:
        DataError: a folder holds no result, or none of the benchmark.
    """
    rows = [_row_of_folder(folder, name, only) for folder, name in zip(folders, _names(folders), strict=True)]
    present = [benchmark for benchmark in Benchmark if any(benchmark in row.settings for row in rows)]
    published = [row for row in _published_rows(present) if row.scores]
    every = (*published, *rows)
    columns = tuple(
        (benchmark, metric)
        for benchmark in present
        for metric in FACTS[benchmark].headline
        if any((benchmark, metric) in row.scores for row in every)
    )
    differences = {benchmark: _differences(every, benchmark) for benchmark in present}
    return Comparison(columns=columns, rows=every, differences=differences)


def results_in(folder: Path) -> dict[Benchmark, EvalResult]:
    """The results of a folder of `museg eval`'s, or of the newest evaluation of each benchmark in a run directory."""
    files = [*(folder / EVALUATIONS_FOLDER).glob(f"*/*/{RESULTS_FILE}"), *folder.glob(RESULTS_FILE)]
    oldest_first = sorted(files, key=lambda file: file.stat().st_mtime)
    return {result.benchmark: result for result in map(read_result, oldest_first)}


def _names(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name where that tells it apart, else its path."""
    names = [folder.resolve().name for folder in folders]
    uses = Counter([*names, *(row.model for row in PUBLISHED)])
    return [name if uses[name] == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def _row_of_folder(folder: Path, name: str, only: Benchmark | None) -> ComparisonRow:
    results = {benchmark: result for benchmark, result in results_in(folder).items() if only in (None, benchmark)}
    rows = [_row_of_result(result, name) for result in results.values()]
    if Benchmark.samples not in results and only in (None, Benchmark.samples):
        rows += _rows_of_training(RunDirectory(folder), name)
    if not rows:
        what = f"result of {only}" if only else "result"
        raise DataError(
            f"{folder}: holds no {what}: give a folder that `museg eval` wrote or a run with an evaluation at its end"
        )
    return ComparisonRow(
        name=name,
        scores=_joined(row.scores for row in rows),
        settings={benchmark: settings for row in rows for benchmark, settings in row.settings.items()},
        blind=_joined(row.blind for row in rows),
        constant=_joined(row.constant for row in rows),
    )


def _row_of_result(result: EvalResult, name: str) -> ComparisonRow:
    return ComparisonRow(
        name=name,
        scores=_of(result.benchmark, result.scores),
        settings={result.benchmark: described(result.settings) if result.settings else {"answers": "stored"}},
        blind=_of(result.benchmark, result.blind),
        constant=_of(result.benchmark, result.constant.scores if result.constant else {}),
    )


def _rows_of_training(run: RunDirectory, name: str) -> list[ComparisonRow]:
    """The held-out evaluation at the end of training; empty if there was none."""
    summary = read_summary(run)
    if summary is None or not summary.eval_after or not run.config_file.is_file():
        return []
    blind = {key.removeprefix(BLIND): value for key, value in summary.eval_after.items() if key.startswith(BLIND)}
    scores = {key: value for key, value in summary.eval_after.items() if not key.startswith(BLIND)}
    return [
        ComparisonRow(
            name=name,
            scores=_of(Benchmark.samples, scores),
            settings={Benchmark.samples: described_training(load_config(run.config_file), summary.steps)},
            blind=_of(Benchmark.samples, blind),
        )
    ]


def _of(benchmark: Benchmark, scores: Mapping[str, float]) -> dict[Column, float]:
    return {(benchmark, name): value for name, value in scores.items()}


def _joined(parts: Iterable[Mapping[Column, float]]) -> dict[Column, float]:
    return {column: value for part in parts for column, value in part.items()}


def _published_rows(present: Iterable[Benchmark]) -> list[ComparisonRow]:
    benchmarks = [benchmark for benchmark in present if FACTS[benchmark].published]
    return [
        ComparisonRow(
            name=row.model,
            scores={column: value for column, value in row.scores.items() if column[0] in benchmarks},
            settings={benchmark: described_published(benchmark) for benchmark in benchmarks},
            published=True,
        )
        for row in PUBLISHED
    ]


def _differences(rows: Sequence[ComparisonRow], benchmark: Benchmark) -> dict[str, dict[str, str]]:
    """Of the settings that at least two rows name differently."""
    settings: dict[str, dict[str, str]] = {}
    for row in rows:
        for name, value in row.settings.get(benchmark, {}).items():
            # All published rows were made alike.
            settings.setdefault(name, {})["published" if row.published else row.name] = value
    return {name: values for name, values in settings.items() if len(set(values.values())) > 1}
