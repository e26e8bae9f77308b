"""The benchmark's tables, in percent: each ability by task and source, and the merged scores."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from museg.evaluation.et_bench.overlap import THRESHOLDS
from museg.evaluation.et_bench.samples import CAPTIONING, COMPLEX, GROUNDING, REFERRING
from museg.evaluation.et_bench.scoring import MERGED, EtBenchScores, Metrics, SourceScores
from museg.terminal import one_line

ABSENT = "–"
COUNTS = ("Total", "Failed")

_F1S = tuple(f"F1@{threshold}" for threshold in THRESHOLDS)
_RECALLS = tuple(f"R@{threshold}" for threshold in THRESHOLDS)
_ABILITIES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "referring": (REFERRING, ("Acc",)),
    "grounding": (GROUNDING, (*_F1S, "F1")),
    "captioning": (CAPTIONING, (*_F1S, "F1", "METEOR", "ROUGE_L", "CIDEr", "SentSim")),
    "complex": (COMPLEX, (*_RECALLS, "mRec", "Acc")),
}


def et_bench_tables(scores: EtBenchScores) -> list[Table]:
    """A table for each ability of which there are samples, then the merged scores; what is absent is a dash."""
    abilities = [
        _ability_table(name, columns, [source for source in scores.sources if source.task in tasks])
        for name, (tasks, columns) in _ABILITIES.items()
        if any(source.task in tasks for source in scores.sources)
    ]
    return [*abilities, _merged_table(scores)]


def _ability_table(title: str, columns: tuple[str, ...], sources: list[SourceScores]) -> Table:
    table = Table("Task", "Source", title=f"E.T. Bench: {title}", title_justify="left")
    for column in (*COUNTS, *columns):
        table.add_column(column, justify="right")
    for source in sources:
        counts = [str(source.metrics[count]) for count in COUNTS]
        percents = (_percent(source.metrics, column) for column in columns)
        table.add_row(source.task.upper(), Text(one_line(source.source)), *counts, *percents)
    return table


def _merged_table(scores: EtBenchScores) -> Table:
    table = Table("Score", title="E.T. Bench: overall", title_justify="left")
    table.add_column("%", justify="right")
    table.add_column("mean of")
    known = {**scores.overall, **scores.merged}
    for name, parts in MERGED.items():
        table.add_row(
            name,
            _percent(known, name),
            ", ".join(f"{part} {_percent(known, part)}" for part in parts),
        )
    return table


def _percent(values: Metrics, name: str) -> str:
    return f"{100 * values[name]:.1f}" if name in values else ABSENT
