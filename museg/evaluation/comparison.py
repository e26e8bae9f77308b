"""Runs beside each other and beside the published rows, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from museg.config.choices import Template
from museg.config.loading import load_config
from museg.data.prompts import QUESTION_TEMPLATES
from museg.errors import DataError
from museg.evaluation.benchmarks import FACTS, Benchmark
from museg.evaluation.published import KNOWN_SETTINGS, PUBLISHED
from museg.evaluation.results import EvalResult, read_result
from museg.evaluation.settings import SAMPLING, EvalSettings
from museg.runs.directory import RunDirectory
from museg.runs.summary import read_summary
from museg.video.pixel_budget import FrameBudget

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
    rows = [_row_of_folder(folder, only) for folder in folders]
    present = {benchmark for row in rows for benchmark in row.settings}
    published = [row for row in _published_rows(present) if row.scores]
    every = (*published, *rows)
    columns = tuple(
        (benchmark, metric)
        for benchmark in Benchmark
        if benchmark in present
        for metric in FACTS[benchmark].headline
        if any((benchmark, metric) in row.scores for row in every)
    )
    differences = {benchmark: _differences(every, benchmark) for benchmark in Benchmark if benchmark in present}
    return Comparison(columns=columns, rows=every, differences=differences)


def results_in(folder: Path) -> dict[Benchmark, EvalResult]:
    """The results of a folder of `museg eval`'s, or of the newest evaluation of each benchmark in a run directory."""
    files = [*(folder / EVALUATIONS_FOLDER).glob(f"*/*/{RESULTS_FILE}"), *folder.glob(RESULTS_FILE)]
    oldest_first = sorted(files, key=lambda file: file.stat().st_mtime)
    return {result.benchmark: result for result in map(read_result, oldest_first)}


def _row_of_folder(folder: Path, only: Benchmark | None) -> ComparisonRow:
    results = {name: result for name, result in results_in(folder).items() if only in (None, name)}
    scores: dict[Column, float] = {}
    settings: dict[Benchmark, Mapping[str, str]] = {}
    if Benchmark.samples not in results and only in (None, Benchmark.samples):
        scores, settings = _of_training(RunDirectory(folder))
    for benchmark, result in results.items():
        scores |= {(benchmark, name): value for name, value in result.metrics.items()}
        settings[benchmark] = described(result.settings) if result.settings else {"answers": "stored"}
    if not settings:
        what = f"result of {only}" if only else "result"
        raise DataError(
            f"{folder}: holds no {what}: give a folder that `museg eval` wrote or a run with an evaluation at its end"
        )
    return ComparisonRow(name=str(folder), scores=scores, settings=settings)


def _of_training(run: RunDirectory) -> tuple[dict[Column, float], dict[Benchmark, Mapping[str, str]]]:
    """The held-out evaluation at the end of training."""
    summary = read_summary(run)
    if summary is None or not summary.eval_after or not run.config_file.is_file():
        return {}, {}
    config = load_config(run.config_file)
    budget = FrameBudget.from_config(config.video, evaluation=True)
    scores = {(Benchmark.samples, name): value for name, value in summary.eval_after.items()}
    described_settings = {
        "data": str(config.data.eval),
        "prompt": f"{config.data.eval_template} template",
        **_described_budget(budget),
        "sampling": f"{SAMPLING}, {config.eval.max_tokens} tokens",
        "dtype": config.model.dtype.value,
    }
    return scores, {Benchmark.samples: described_settings}


def described(settings: EvalSettings) -> dict[str, str]:
    """Setting → value in words, for people."""
    budget = FrameBudget(
        fps=settings.fps,
        min_frames=settings.min_frames,
        max_frames=settings.max_frames,
        min_pixels=settings.min_pixels,
        max_pixels=settings.max_pixels,
        total_pixels=settings.total_pixels,
    )
    return {
        "data": settings.data,
        "prompt": _described_prompt(settings.prompt),
        **_described_budget(budget),
        "sampling": f"{settings.sampling}, {settings.max_tokens} tokens",
        "dtype": settings.dtype,
    }


def _described_budget(budget: FrameBudget) -> dict[str, str]:
    return {
        "fps": f"{budget.fps:g}",
        "frames": f"{budget.min_frames} to {budget.max_frames}",
        "pixels": f"a frame {budget.min_pixels} to {budget.max_pixels}, a video {budget.total_pixels}",
    }


def _described_prompt(prompt: str) -> str:
    """The longest of the authors' templates that the prompt ends in, or that it is none of them."""
    for template in (Template.timestamps, Template.plain):
        if QUESTION_TEMPLATES[template].removeprefix("{}") in prompt:
            return f"{template} template"
    return "another template"


def _published_rows(benchmarks: Iterable[Benchmark]) -> list[ComparisonRow]:
    return [
        ComparisonRow(
            name=row.model,
            scores={column: value for column, value in row.scores.items() if column[0] in benchmarks},
            settings={benchmark: KNOWN_SETTINGS for benchmark in benchmarks if FACTS[benchmark].published},
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
