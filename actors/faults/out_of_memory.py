"""What counts as a worker's having had no memory left, while it still lives."""

from __future__ import annotations

import torch
from ray.exceptions import RayTaskError

_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")
"""In torch's words for what the operating system has refused; it has no class of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or on the host.

    A process that the kernel has killed for its memory, or Ray for the node's, is dead and not that.
    """
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(cause, RuntimeError) and any(words in str(cause) for words in _CPU_ALLOCATOR)
