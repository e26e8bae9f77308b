"""`museg data`: make data sets, and check them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from museg.cli.data.check import add_parser as add_check
from museg.cli.data.synth import add_parser as add_synth

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EXAMPLES = """\
examples:
  museg data synth --output cache/data
  museg data check train.jsonl --video-root videos --against eval.jsonl
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands to `museg`'s."""
    parser = subparsers.add_parser(
        "data",
        help="make data sets, and check them",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="data_command", metavar="COMMAND", required=True)
    add_synth(commands)
    add_check(commands)
