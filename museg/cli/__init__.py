"""The command line: `museg COMMAND …`, one file a command."""

from museg.cli.main import main

__all__ = ["main"]
