"""`museg status`: the runs of a folder, how far they are and what is wrong with them."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from museg.terminal import one_line

if TYPE_CHECKING:
    from museg.runs.status import RunStatus

EXAMPLES = """\
examples:
  museg status
  museg status /shared/runs --watch
  museg status --json

Everything is read from the run directories, so it works on any machine that sees them, during a run and after it.
"""
WATCH_S = 5.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "status",
        help="list runs, how far they are and their health",
        description="List the runs of a folder: state, steps, age and reward of the last step, restarts, and what is "
        "wrong (driver gone, stalled, parity, entropy, reward).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run_root", nargs="?", type=Path, default=Path("runs"), metavar="RUN_ROOT", help="(default %(default)s)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON list")
    shown.add_argument("--watch", action="store_true", help=f"show it anew every {WATCH_S:g} s, until Ctrl-C")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table or the list once, or until interrupted.

    Raises:
        DataError: RUN_ROOT isn't a folder.
    """
    # Reading configurations takes a moment that `museg --help` needn't wait for.
    from museg.runs.status import statuses_below

    statuses = statuses_below(args.run_root)
    if args.json:
        print(json.dumps([asdict(status) for status in statuses]))
        return 0
    console = Console()
    if not args.watch:
        _print(console, statuses, args.run_root)
        return 0
    with console.screen() as screen:
        while True:
            screen.update(_table(statuses_below(args.run_root)))
            time.sleep(WATCH_S)


def _print(console: Console, statuses: list[RunStatus], root: Path) -> None:
    if statuses:
        console.print(_table(statuses))
    else:
        console.print(f"no runs in {root}", highlight=False, markup=False, soft_wrap=True)


def _table(statuses: list[RunStatus]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("run", "state", "step", "age", "reward", "restarts", "skipped", "health"):
        words = heading in ("run", "state", "health")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "health")
    for one in statuses:
        table.add_row(
            _plain(one.name),
            one.state,
            f"{one.step}/{one.planned_steps}",
            "" if one.last_step_age_s is None else _for_people(one.last_step_age_s),
            "" if one.reward is None else f"{one.reward:.3f}",
            str(one.restarts),
            str(one.videos_skipped),
            _plain(", ".join(one.troubles)) or "ok",
        )
    return table


def _plain(text: str) -> str:
    """What names and errors hold is neither markup nor steers a terminal."""
    return escape(one_line(text))


def _for_people(seconds: float) -> str:
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
