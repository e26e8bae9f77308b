"""The process behind `museg` and `python -m museg`."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from museg.cli import main
from museg.interruption import ignore_interruption


def run() -> NoReturn:
    """Run the command line and end the process with its exit code, at once."""
    try:
        code = main()
    finally:
        ignore_interruption()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Python tells of it in its own way.
        sys.exit(code)
    # Python would first take every object apart: seconds of a stop's grace after the engines' imports.
    os._exit(code)


if __name__ == "__main__":
    run()
