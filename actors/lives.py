"""A run begun again by itself, where what its steps would be redone from was lost with a node."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from museg.config.schema import Config
from museg.errors import FaultError, StateLostError
from museg.runs.directory import RunDirectory
from museg.runs.summary import Summary


def until_it_ends(config: Config, run: RunDirectory, live: Callable[[Config], Summary], console: Console) -> Summary:
    """What `live` returns, which is called again after each StateLostError, as if the run had been submitted again.

    It goes on after the run's newest checkpoint, with workers of its own, for which the cluster may have to give other
    nodes first (`recovery.start_timeout_s`).

    Raises:
        FaultError: state was lost more often than `recovery.max_restarts`.
    """
    lost = 0
    while True:
        try:
            return live(config)
        except StateLostError as error:
            lost += 1
            if lost > config.recovery.max_restarts:
                raise FaultError(
                    f"{error}, more often than recovery.max_restarts={config.recovery.max_restarts} allows; submit "
                    "again, and the run goes on after its newest checkpoint"
                ) from error
            console.print(f"{error}: the run begins again after its newest checkpoint", soft_wrap=True, markup=False)
        # The life that is over holds references into a cluster that it has left.
        gc.collect()
        config = replace(config, resume=_point_to_go_on(config, run))


def _point_to_go_on(config: Config, run: RunDirectory) -> str:
    """`resume` of the next life: the run has begun, but may have no checkpoint of its own yet."""
    named = config.resume not in ("auto", "never")
    return config.resume if named and not run.checkpoint_store.steps() else "auto"
