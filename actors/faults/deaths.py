"""What counts as the death of a worker."""

from __future__ import annotations

from ray.exceptions import OwnerDiedError, RayActorError, RayTaskError

from actors.waiting import DeadlineError

Fault = RayActorError | OwnerDiedError | DeadlineError
"""A worker died, is unreachable, or hasn't answered in time: a hang counts as death."""


def is_fault(error: BaseException) -> bool:
    """Whether infrastructure failed, so that the work can be done again elsewhere.

    What a worker raises by itself (data, numbers, a bug) would be raised again, and isn't. What a worker met when it
    waited for another one is.
    """
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, Fault)
    return isinstance(error, Fault)
