"""The root of the command line: finds the command, turns mistakes into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence

from museg import __version__
from museg.cli import bench, data, eval, exit_codes, plan, report, rollout, score, sft, status, train, warm_start
from museg.errors import FaultError, UserError
from museg.interruption import terminating_as_interrupted
from museg.terminal import one_line

DESCRIPTION = """\
Teach video-language models when things happen: GRPO with segment rewards (arXiv 2505.20715).

examples:
  museg train configs/quickstart.yaml grpo.steps=20
  museg eval --run runs/quickstart
  museg report runs/quickstart
  museg COMMAND --help
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; `run` of what it parses is the command's function."""
    parser = argparse.ArgumentParser(
        prog="museg", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"museg {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (train, sft, status, rollout, eval, score, data, warm_start, report, bench, plan):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 2 a mistake that the user can mend (one line on stderr), 3 too many faults,
    130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        with terminating_as_interrupted():
            code: int = args.run(args)
        return code
    except UserError as error:
        print(f"museg: {_message(error)}", file=sys.stderr)
        return exit_codes.FAULT if isinstance(error, FaultError) else exit_codes.USER_ERROR
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"museg: {one_line(str(error))}: make room, then the same command goes on", file=sys.stderr)
        return exit_codes.USER_ERROR
    except KeyboardInterrupt:
        print("museg: interrupted", file=sys.stderr)
        return exit_codes.INTERRUPTED


def _message(error: UserError) -> str:
    """One printable line; a Ray worker's error carries its trace in the text, and the plain one as its cause."""
    cause = getattr(error, "cause", error)
    return one_line(str(cause))
