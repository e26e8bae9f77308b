"""`museg report`: write the report of a run, finished or still running, or serve it while it grows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from museg.runs.directory import RunDirectory

if TYPE_CHECKING:
    from argparse import _SubParsersAction

DESCRIPTION = """\
Write RUN_DIR/report.html: scores, curves, the time of each step, a viewer of every question's completions on the
video's time axis, and the configuration, in one file that needs no network. Works on a run that is still going, too.
With --serve the report is shown live instead, and nothing is written.
"""
EXAMPLES = """\
examples:
  museg report runs/quickstart
  museg report runs/quickstart --serve --port 8420
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = subparsers.add_parser(
        "report",
        help="write a run's report.html, or serve it live",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="folder of the run, such as runs/quickstart")
    parser.add_argument("--serve", action="store_true", help="show it live until Ctrl-C; new steps appear as they come")
    parser.add_argument("--port", type=_port, default=8420, help="with --serve (8420; 0 picks a free one)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="with --serve, address to listen on (127.0.0.1: this machine alone; whoever reaches another sees the run)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is, or serve it.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
        UserError: the address can't be listened on.
    """
    if args.serve:
        return _serve(RunDirectory(args.run_dir), args.host, args.port)
    # The other commands needn't wait for it.
    from museg.runs.report import write_report

    print(write_report(RunDirectory(args.run_dir)))
    return 0


def _serve(run: RunDirectory, host: str, port: int) -> int:
    from museg.runs.report.serving import serve_report

    with serve_report(run, host=host, port=port) as server:
        print(f"http://{host}:{server.server_address[1]}/ shows {run.path} until Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535 (got {port})")
    return port
