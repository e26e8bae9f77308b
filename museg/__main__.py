"""The process behind `museg` and `python -m museg`."""

from __future__ import annotations

import gc
import sys

from museg.cli import main
from museg.interruption import ignore_interruption


def run() -> None:
    """Run the command line and end the process with its exit code, at once."""
    try:
        code = main()
    finally:
        ignore_interruption()
        # Python looks for cycles among all objects before it ends, several times: seconds after the engines' imports.
        gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    run()
