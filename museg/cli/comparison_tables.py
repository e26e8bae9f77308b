"""What `museg eval --compare` prints: a table for terminals, for papers (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from museg.cli.eval_tables import metric_label
from museg.evaluation.benchmarks import FACTS, Benchmark
from museg.evaluation.comparison import Column, Comparison, ComparisonRow
from museg.evaluation.published import SOURCE, UNKNOWN, UNKNOWN_OF_ET_BENCH
from museg.terminal import one_line

BLIND_ROW = "{}, blind"
CONSTANT_ROW = "{}, best constant answer"


def comparison_table(comparison: Comparison) -> Table:
    """In per cent; the best of each column is bold, what can be had without looking is dim."""
    table = Table("model or run", caption="in per cent", caption_justify="left")
    for column in comparison.columns:
        table.add_column(_heading(column, "\n"), justify="right")
    for row in comparison.rows:
        table.add_row(Text(one_line(row.name)), *_score_cells(comparison, row, "[bold]{}[/]"))
        for name, cells in _unseeing_rows(comparison, row):
            table.add_row(Text(one_line(name)), *cells, style="dim")
    return table


def comparison_markdown(comparison: Comparison) -> str:
    """The same as a Markdown table, with the notes as a list."""
    lines = [
        ["model or run", *(_heading(column, " ") for column in comparison.columns)],
        ["---", *("---:" for _ in comparison.columns)],
    ]
    for row in comparison.rows:
        lines.append([row.name, *_score_cells(comparison, row, "**{}**")])
        lines += [[name, *cells] for name, cells in _unseeing_rows(comparison, row)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = "\n".join(f"- {_escaped(note)}" for note in ("In per cent.", *comparison_notes(comparison)))
    return f"{table}\n\n{notes}"


def comparison_json(comparison: Comparison) -> str:
    """Rows with scores from 0 to 1, and the settings that differ."""
    rows = [
        {
            "name": row.name,
            "published": row.published,
            "scores": _by_name(row.scores),
            "blind": _by_name(row.blind),
            "constant": _by_name(row.constant),
            "settings": row.settings,
        }
        for row in comparison.rows
    ]
    return json.dumps({"rows": rows, "differences": comparison.differences}, indent=2, ensure_ascii=False)


def comparison_notes(comparison: Comparison) -> Iterator[str]:
    """What the unseeing rows are, what is known of the published ones, and the settings that differ."""
    if any(row.blind for row in comparison.rows):
        yield "blind: the same questions, each shown another question's video."
    if any(row.constant for row in comparison.rows):
        yield "best constant answer: the one answer to every question that scores highest."
    yield from _published_notes(comparison)
    yield from _own_settings(comparison)
    for benchmark, settings in comparison.differences.items():
        for name, values in settings.items():
            told = "; ".join(f"{row}: {value}" for row, value in values.items())
            yield f"Settings differ, {FACTS[benchmark].title}, {name}: {told}"


def _published_notes(comparison: Comparison) -> Iterator[str]:
    published = next((row.settings for row in comparison.rows if row.published), None)
    if published is None:
        return
    yield f"Published rows: {SOURCE}. Not known of them: {UNKNOWN}."
    if Benchmark.et_bench in published:
        yield f"Not known of E.T. Bench's: {UNKNOWN_OF_ET_BENCH}."
    titles: dict[str, list[str]] = {}
    for benchmark, settings in published.items():
        told = "; ".join(f"{name} {value}" for name, value in settings.items())
        titles.setdefault(told, []).append(FACTS[benchmark].title)
    for told, names in titles.items():
        yield f"Published rows, {', '.join(names)}, by the authors' scripts: {told}."


def _own_settings(comparison: Comparison) -> Iterator[str]:
    """The settings that rows share where no published row already names them."""
    for benchmark, differing in comparison.differences.items():
        if FACTS[benchmark].published:
            continue
        named = {name: value for row in comparison.rows for name, value in row.settings.get(benchmark, {}).items()}
        told = "; ".join(f"{name} {value}" for name, value in named.items() if name not in differing)
        yield f"Settings, {FACTS[benchmark].title}: {told}."


def _unseeing_rows(comparison: Comparison, row: ComparisonRow) -> Iterator[tuple[str, list[str]]]:
    """Rows of what a row's model scores blind, and what can be had without any model."""
    for name, scores in ((BLIND_ROW, row.blind), (CONSTANT_ROW, row.constant)):
        if scores:
            yield name.format(row.name), [_per_cent(scores.get(column)) for column in comparison.columns]


def _score_cells(comparison: Comparison, row: ComparisonRow, bold: str) -> list[str]:
    return [
        bold.format(_per_cent(value)) if value is not None and value == comparison.best(column) else _per_cent(value)
        for column in comparison.columns
        for value in (row.scores.get(column),)
    ]


def _escaped(note: str) -> str:
    """So that Markdown shows a parser's regular expression as it is."""
    return note.replace("\\", "\\\\").replace("*", "\\*")


def _by_name(scores: Mapping[Column, float]) -> dict[str, float]:
    return {f"{benchmark}/{metric}": value for (benchmark, metric), value in scores.items()}


def _heading(column: Column, separator: str) -> str:
    benchmark, metric = column
    return f"{FACTS[benchmark].title}{separator}{metric_label(benchmark, metric)}"


def _per_cent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
