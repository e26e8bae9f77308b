"""The state of all ranks after a step, kept in the object store, and what a gang begins again from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectLostError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.checkpointing.parts import write_part
from actors.faults.seat import Seat
from actors.learner.snapshot import SnapshotFacts
from actors.phase_start import PhaseStart
from actors.waiting import all_of
from museg.errors import StateLostError
from museg.runs.manifest import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerSnapshot:
    """Weights, optimizer, step count and random states of all ranks between two steps.

    The driver owns the values, so they outlive the ranks' processes, though not their nodes. They are the files that
    `save_state` writes.
    """

    facts: tuple[SnapshotFacts, ...]
    shared: ray.ObjectRef
    """`Files` that the first rank wrote for all."""
    own: tuple[ray.ObjectRef, ...]
    """`Files` of each rank."""

    @property
    def step(self) -> int:
        """GRPO steps since the optimizer's start."""
        return self.facts[0].step

    @property
    def num_bytes(self) -> int:
        return sum(facts.num_bytes for facts in self.facts)

    async def restored_by(self, seats: Sequence[Seat]) -> None:
        """Have ranks that stand at the phase's start take it up.

        Raises:
            StateLostError: a node was lost, and its part with it.
        """
        calls = [seat.actor.restore.remote(self.shared, own) for seat, own in zip(seats, self.own, strict=True)]
        try:
            await all_of(calls)
        except ObjectLostError as error:
            raise StateLostError("the copy of the learner's state in memory was lost with its node") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerCopy:
    """All that a checkpoint holds of the learner, in the object store."""

    snapshot: LearnerSnapshot
    hf: ray.ObjectRef
    """`Files` of the first rank."""
    nodes: tuple[str | None, ...]
    """Where each rank was, and its files are."""

    async def write(self, checkpoint: Path) -> Records:
        """Write `hf/` and `state/` into the folder; the records of their files. Each node writes what it holds.

        Raises:
            RayError: a part was lost with its node, or couldn't be written (OSError is the cause then).
        """
        parts = [(self.nodes[0], "hf", self.hf), (self.nodes[0], "state", self.snapshot.shared)]
        parts += [(node, "state", own) for node, own in zip(self.nodes, self.snapshot.own, strict=True)]
        calls = [write_part.options(**_on(node)).remote(checkpoint, folder, files) for node, folder, files in parts]
        return {name: record for records in await all_of(calls) for name, record in records.items()}


def _on(node_id: str | None) -> dict[str, Any]:
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=True)} if node_id else {}


class ComingSnapshot:
    """A snapshot that the ranks take when they are done with what they were sent before."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        answers = [seat.actor.snapshot.remote() for seat in seats]
        self._facts, shared, own = zip(*answers, strict=True)
        self._shared, self._own = shared[0], own

    async def taken(self) -> LearnerSnapshot:
        """Once all ranks have; the state itself isn't fetched."""
        facts = await all_of(self._facts)
        return LearnerSnapshot(facts=tuple(facts), shared=self._shared, own=self._own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """Where a gang begins again: a phase's start, and the state that it takes up there."""

    start: PhaseStart | None
    """None: that of the run."""
    checkpoint: Path | None = None
    """State to take up from there, while there is no snapshot."""
    snapshot: LearnerSnapshot | None = None
