"""`museg report`: write the report of a run, finished or still running."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from museg.runs.directory import RunDirectory

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = subparsers.add_parser(
        "report",
        help="write a run's report.html",
        description="Write RUN_DIR/report.html: scores, curves, timelines of some answers and the configuration, "
        "in one file that needs no network. Works on a run that is still going, too.",
        epilog="example: museg report runs/quickstart",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="folder of the run, such as runs/quickstart")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
    """
    # Drawing isn't part of the bare installation, and the other commands needn't wait for it.
    from museg.runs.report import write_report

    print(write_report(RunDirectory(args.run_dir)))
    return 0
