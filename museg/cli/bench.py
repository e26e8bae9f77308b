"""`museg bench`: what the parts of the system achieve on this machine. One file a bench: `bench_<name>.py`."""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.table import Table

from museg.cli import bench_rewards

BENCHES = (bench_rewards,)
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
    """Measure and print the figures."""
    figures = {"bench": args.bench, **args.measure(args)}
    if args.json:
        print(json.dumps(figures))
        return 0
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
    return 0
