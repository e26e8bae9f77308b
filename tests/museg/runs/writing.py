"""A process that writes checkpoints as a run does, for tests that kill it."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from museg.runs.checkpoints import Checkpoints
from museg.runs.manifest import write_recorded

FILES = ("hf/model.safetensors", "hf/config.json", "state/learner/rank-0.pt", "state/learner/rank-1.pt")
_OPERATIONS = ("open", "os.", "shutil.")


def content_of(name: str, step: int) -> bytes:
    """What a step's checkpoint holds under a name."""
    return f"{name} of step {step};".encode() * (500 + 37 * step)


def write_checkpoint(checkpoints: Checkpoints, step: int) -> None:
    """As a run does it: most is recorded when it is written, the rest when the checkpoint gets its name."""
    partial, written = checkpoints.begin(step), {}
    for name in FILES:
        written[name] = write_recorded(content_of(name, step), partial / name)
    (partial / "trainer.json").write_text(f'{{"step": {step}}}')
    checkpoints.commit(step, written)
    checkpoints.prune(2, newest=step)


def write_until_killed(folder: Path, done: Connection) -> None:
    """Step 1, 2, 3 …; each is told to `done` once it is written."""
    checkpoints = Checkpoints(folder / "checkpoints")
    step = max(checkpoints.steps(), default=0)
    while True:
        step += 1
        write_checkpoint(checkpoints, step)
        done.send(step)


def write_and_die_at(folder: Path, operation: int, step: int) -> None:
    """Write one step's checkpoint and be killed at its `operation`-th call to the file system, if it has so many."""
    left = operation

    def count_down(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(_OPERATIONS):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_down)
    write_checkpoint(Checkpoints(folder / "checkpoints"), step)
