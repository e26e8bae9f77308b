"""What `museg eval` prints: one result, or a comparison of several."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.table import Table

from museg.evaluation.benchmarks import FACTS
from museg.evaluation.comparison import Column, Comparison, ComparisonRow
from museg.evaluation.published import PUBLISHED, SOURCE
from museg.evaluation.results import EvalResult

PARTS_OF_A_TASK = "/"
"""Stands in the names of metrics that are too detailed for a table (E.T. Bench's sources)."""


def result_table(result: EvalResult) -> Table:
    """Metric by metric: the score, blind, of the best constant answer, and as published."""
    facts = FACTS[result.benchmark]
    published = [row for row in PUBLISHED if any((result.benchmark, name) in row.scores for name in result.scores)]
    chosen = [row for row in published if row.model.startswith(("Qwen2.5-VL", "MUSEG")) and "SFT" not in row.model]
    table = Table(title=f"{facts.title}, {result.num_samples:,} questions")
    table.add_column("metric")
    headings = ["score", *(["blind"] if result.blind else []), *(["constant"] if result.constant else [])]
    for heading in (*headings, *("\n".join(row.model.rsplit("-", 1)) for row in chosen)):
        table.add_column(heading, justify="right")
    for name, score in result.scores.items():
        if PARTS_OF_A_TASK in name:
            continue
        cells = [f"{score:.3f}"]
        if result.blind:
            cells.append(_figure(result.blind.get(name)))
        if result.constant:
            cells.append(_figure(result.constant.scores.get(name)))
        table.add_row(name, *cells, *(_figure(row.scores.get((result.benchmark, name))) for row in chosen))
    return table


def result_notes(result: EvalResult) -> Iterator[str]:
    """What the table doesn't say."""
    if result.constant:
        yield f"constant: {result.constant.answer}, whatever is asked"
    if any((result.benchmark, name) in row.scores for row in PUBLISHED for name in result.scores):
        yield f"published: {SOURCE}"
    if result.skipped_videos:
        yield f"{len(result.skipped_videos)} videos can't be decoded, and their questions count as answered wrongly:"
        yield from (f"  {reason}" for reason in result.skipped_videos.values())


def comparison_table(comparison: Comparison) -> Table:
    """In per cent; the best of each column is bold."""
    table = Table(caption=f"in per cent; published rows: {SOURCE}" if _has_published(comparison) else "in per cent")
    table.add_column("model or run", overflow="fold")
    for column in comparison.columns:
        table.add_column(_heading(column, "\n"), justify="right")
    for row in comparison.rows:
        table.add_row(row.name, *(_cell(comparison, row, column, "[bold]{}[/]") for column in comparison.columns))
    return table


def comparison_markdown(comparison: Comparison) -> str:
    """The same as a Markdown table."""
    lines = [
        ["model or run", *(_heading(column, " ") for column in comparison.columns)],
        ["---", *("---:" for _ in comparison.columns)],
        *(
            [row.name, *(_cell(comparison, row, column, "**{}**") for column in comparison.columns)]
            for row in comparison.rows
        ),
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = [f"In per cent; published rows: {SOURCE}." if _has_published(comparison) else "In per cent."]
    return "\n\n".join([table, *notes, *difference_lines(comparison)])


def comparison_json(comparison: Comparison) -> str:
    """Rows with scores from 0 to 1, and the settings that differ."""
    rows = [
        {
            "name": row.name,
            "published": row.published,
            "scores": {f"{benchmark}/{metric}": value for (benchmark, metric), value in row.scores.items()},
            "settings": row.settings,
        }
        for row in comparison.rows
    ]
    return json.dumps({"rows": rows, "differences": comparison.differences}, indent=2, ensure_ascii=False)


def difference_lines(comparison: Comparison) -> list[str]:
    """One line a setting in which a benchmark's rows differ."""
    return [
        f"{FACTS[benchmark].title}, {name}: " + "; ".join(f"{row} {value}" for row, value in values.items())
        for benchmark, settings in comparison.differences.items()
        for name, values in settings.items()
    ]


def _has_published(comparison: Comparison) -> bool:
    return any(row.published for row in comparison.rows)


def _heading(column: Column, separator: str) -> str:
    benchmark, metric = column
    return f"{FACTS[benchmark].title}{separator}{metric}"


def _cell(comparison: Comparison, row: ComparisonRow, column: Column, bold: str) -> str:
    value = row.scores.get(column)
    if value is None:
        return ""
    text = f"{100 * value:.1f}"
    return bold.format(text) if value == comparison.best(column) else text


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
