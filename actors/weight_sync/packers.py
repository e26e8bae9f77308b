"""Threads that pack linear layers' weights as vLLM computes with them on CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

_NUM_BUSY_CORES = 2
"""The generator's and the learner's: the learner is done with a bucket in half the time that packing takes."""


class Packers:
    """Pack layers beside one another, while their owner goes on finding out where the next weights belong.

    packers = Packers()
    packers.submit(layer.pack, weight)    # oneDNN packs without Python's lock
    packers.wait()
    """

    def __init__(self) -> None:
        # An engine with several threads has them share in each layer.
        alone = torch.get_num_threads() > 1
        self._pool = ThreadPoolExecutor(1 if alone else min(_NUM_BUSY_CORES, len(os.sched_getaffinity(0))))
        self._packing: list[Future[None]] = []

    def submit(self, pack: Callable[..., None], *args: object) -> None:
        """Have `pack(*args)` run soon. What it reads must stay until `wait` has returned."""
        self._packing.append(self._pool.submit(pack, *args))

    def wait(self) -> None:
        """Return when no layer is being packed any longer. Raises what the first of them to fail raised."""
        ended, self._packing = self._packing, []
        failures = [failure for future in ended if (failure := future.exception())]
        if failures:
            raise failures[0]
