"""How a data check looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from museg.data.checking.anomalies import RULES, Anomaly, Kind, Severity
from museg.data.checking.checking import DataCheck
from museg.data.checking.statistics import Statistics
from museg.terminal import one_line

MAX_EXAMPLES = 3
MAX_SOURCES = 8
BAR_WIDTH = 40


def describe(check: DataCheck) -> Group:
    """The anomalies by kind, then what the data is like."""
    return Group(*_sections(check))


def _sections(check: DataCheck) -> Iterator[RenderableType]:
    names = [str(file.path) for file in check.files]
    if check.anomalies:
        yield _anomaly_table(check, names)
        yield _examples(check, names)
    else:
        yield Text(f"{', '.join(names)}: nothing to mend")
    statistics = check.statistics()
    yield _statistics_table(statistics)
    for title, histogram in (
        ("segments by length", statistics.segment_lengths_s),
        ("segments by where their middle lies in the video", statistics.segment_positions),
        ("rows by number of segments", statistics.segments_per_row),
    ):
        if any(histogram.values()):
            yield _bars(title, histogram)


def _anomaly_table(check: DataCheck, names: Sequence[str]) -> Table:
    by_kind = _by_kind(check.anomalies)
    table = Table(title=Text(", ".join(names)), title_justify="left")
    table.add_column("anomaly", no_wrap=True)
    if len(names) > 1:
        for name in names:
            table.add_column(Text(Path(name).stem), justify="right")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("errors", justify="right", no_wrap=True)
    table.add_column("what it is")
    for kind, num_rows in check.counts.items():
        by_file = [f"{_num_rows(by_kind[kind], name):,}" for name in names] if len(names) > 1 else []
        num_errors = sum(_num_rows(_errors(by_kind[kind]), name) for name in names)
        table.add_row(kind, *by_file, f"{num_rows:,}", f"{num_errors:,}", RULES[kind].meaning)
    return table


def _examples(check: DataCheck, names: Sequence[str]) -> Text:
    """The first rows of each kind, errors first, and how to mend them."""
    text = Text()
    for kind, anomalies in _by_kind(check.anomalies).items():
        text.append(f"\n{kind}", style="bold").append(f" → {RULES[kind].remedy}\n")
        worst_first = _errors(anomalies) or anomalies
        for anomaly in worst_first[:MAX_EXAMPLES]:
            place = f"row {anomaly.row}" if anomaly.idx is None else f"row {anomaly.row} (idx {anomaly.idx})"
            file = f"{Path(anomaly.file).stem}, " if len(names) > 1 else ""
            text.append(f"  {file}{place}: {one_line(anomaly.detail)}\n", style="dim")
        if len(anomalies) > MAX_EXAMPLES:
            text.append(f"  and {len(anomalies) - MAX_EXAMPLES:,} more: --json lists all\n", style="dim")
    return text


def _by_kind(anomalies: Sequence[Anomaly]) -> dict[Kind, list[Anomaly]]:
    return {kind: found for kind in Kind if (found := [anomaly for anomaly in anomalies if anomaly.kind is kind])}


def _errors(anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    return [anomaly for anomaly in anomalies if anomaly.severity is Severity.error]


def _num_rows(anomalies: Sequence[Anomaly], file: str) -> int:
    return len({anomaly.row for anomaly in anomalies if anomaly.file == file})


def _statistics_table(statistics: Statistics) -> Table:
    table = Table(title="statistics", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("rows, videos", f"{statistics.rows:,}, {statistics.videos:,}")
    table.add_row("tasks", Text(_listed(statistics.tasks)))
    table.add_row("sources", Text(_listed(statistics.sources)))
    table.add_row("durations", f"known {statistics.known_durations:,}, unknown {statistics.unknown_durations:,}")
    table.add_row("longest segment", f"{statistics.longest_segment_s:.1f} s")
    if statistics.longest_duration_s is not None:
        table.add_row("longest video", f"{statistics.longest_duration_s:.1f} s")
    constant = statistics.best_constant_answer
    if constant is not None:
        table.add_row(
            "best constant answer",
            f"{constant}: mIoU {constant.miou:.3f} without a look at the video; the higher, the less there is to learn",
        )
    return table


def _listed(counts: Mapping[str, int]) -> str:
    listed = [f"{one_line(label)} {count:,}" for label, count in list(counts.items())[:MAX_SOURCES]]
    return ", ".join(listed) + (f", and {len(counts) - MAX_SOURCES} more" if len(counts) > MAX_SOURCES else "")


def _bars(title: str, histogram: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify = title, "left"
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    most = max(histogram.values())
    for label, count in histogram.items():
        table.add_row(label, f"{count:,}", Bar(most, 0, count, width=BAR_WIDTH))
    return table
