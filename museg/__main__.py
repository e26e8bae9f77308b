"""`python -m museg`."""

from __future__ import annotations

import sys

from museg.cli import main

if __name__ == "__main__":
    sys.exit(main())
