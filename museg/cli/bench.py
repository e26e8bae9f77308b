"""`museg bench`: what the parts of the system achieve on this machine. One file a bench: `bench_<name>.py`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from museg.cli import bench_decode, bench_learner, bench_overlap, bench_rewards, bench_step, bench_weights

BENCHES = (bench_decode, bench_learner, bench_overlap, bench_rewards, bench_step, bench_weights)
"""Each has `add_parser(benches)`, which returns its parser with `measure` set: arguments → figures by name."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its benches to `museg`'s."""
    parser = commands.add_parser(
        "bench", help="measure parts of the system", epilog="example: museg bench rewards --json"
    )
    benches = parser.add_subparsers(dest="bench", metavar="BENCH", required=True)
    for module in BENCHES:
        bench = module.add_parser(benches)
        bench.add_argument("--json", action="store_true", help="print the figures as one JSON object")
        bench.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures, alone on stdout: what libraries log while measuring goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        figures = {"bench": args.bench, **args.measure(args)}
    if args.json:
        print(json.dumps(figures))
        return 0
    console = Console()
    console.print(_table(figures))
    for name, rows in figures.items():
        if isinstance(rows, list):
            console.print(_rows(name, rows))
    return 0


def _table(figures: Mapping[str, object]) -> Table:
    table = Table(show_header=False)
    for name, value in figures.items():
        if isinstance(value, Mapping):
            table.add_row(name, ", ".join(f"{key} {_text(one)}" for key, one in value.items()))
        elif not isinstance(value, list):
            table.add_row(name, _text(value))
    return table


def _rows(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """Figures that are a list of rows with the same names."""
    table = Table(title=title)
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(_text, row.values()))
    return table


def _text(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
