"""What the command line's exit codes mean; 0 is done."""

ERRORS_FOUND = 1
"""A check is done, and what it checked has errors."""
USER_ERROR = 2
"""A mistake that the user can mend, told in one line on stderr."""
FAULT = 3
"""Workers died or hung more often than the run may get over. Submitted again, it goes on after its checkpoint."""
INTERRUPTED = 130
"""Stopped by a signal, after a checkpoint."""
