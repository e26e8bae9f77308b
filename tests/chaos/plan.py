"""Who is killed when: every role in every phase of a step, in an order that a seed decides."""

from __future__ import annotations

import itertools
import random
import signal
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.chaos.record import PHASES

START = "start"
"""Before the first step, as soon as its process is at work, and before the run has put its workers on record."""
BETWEEN = "between"
"""After a step's row is written and before the next one's work: checkpoints."""
MOMENTS = (BETWEEN, *PHASES)
_HANGS = 2
"""Phases in which a role is stopped: a hang is noticed by its silence, whatever it was at."""
Case = tuple[str, signal.Signals, str]
"""Role, signal and phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One signal to one process."""

    role: str
    """A name in `workers.json`, `decoder`, or a process of Ray."""
    step: int
    """The step that is under way."""
    phase: str
    fraction: float
    """How much of the phase has gone."""
    signal: signal.Signals = signal.SIGKILL

    @property
    def pauses(self) -> bool:
        """A driver that is stopped has nobody who would take it for dead: it is let go on after a while."""
        return self.role == "driver" and self.signal == signal.SIGSTOP

    def __str__(self) -> str:
        return f"{self.signal.name} to {self.role} in step {self.step}, {self.fraction:.0%} of {self.phase}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Typical seconds of an undisturbed step's phases, in their order."""

    phases: Mapping[str, float]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]], between_s: Sequence[float]) -> StepTimes:
        """From the rows of metrics.jsonl (the first, with its warm-up, left out) and the gaps between steps."""
        laps = {phase: statistics.median(row[f"time/{phase}_s"] for row in rows[1:]) for phase in PHASES}
        return cls(phases={BETWEEN: statistics.median(between_s), **laps})

    def offset_s(self, phase: str, fraction: float) -> float:
        """Seconds after the last step's row was written."""
        before = itertools.takewhile(lambda name: name != phase, self.phases)
        return sum(self.phases[name] for name in before) + fraction * self.phases[phase]


def phase_at(offset_s: float, laps: Mapping[str, float]) -> str:
    """The phase that a moment lies in, by the laps that were really taken (in their order)."""
    for phase, seconds in laps.items():
        offset_s -= seconds
        if offset_s < 0:
            return phase
    return list(laps)[-1]


def from_the_second_step(blows: Sequence[Blow]) -> list[Blow]:
    """The same blows for another run, one a step."""
    return [replace(blow, step=step) for step, blow in enumerate(blows, 2)]


def round_of(roles: Mapping[str, Sequence[signal.Signals]], chance: random.Random) -> list[Case]:
    """Every role killed in every phase and stopped in two, in any order."""
    cases = [
        (role, one, phase)
        for role, signals in roles.items()
        for one in signals
        for phase in (MOMENTS if one == signal.SIGKILL else chance.sample(MOMENTS, _HANGS))
    ]
    chance.shuffle(cases)
    return cases


def num_cases_of(roles: Mapping[str, Sequence[signal.Signals]]) -> int:
    """Of one round."""
    return len(round_of(roles, random.Random()))


def deal(
    roles: Mapping[str, Sequence[signal.Signals]], num_blows: int, steps_a_run: int, seed: int
) -> list[list[Blow]]:
    """So many blows over as few runs as hold them, one a step from the second step on, round by round.

    The last three steps are left in peace: a blow waits until the run has got over the one before.
    """
    chance = random.Random(seed)
    cases: list[Case] = []
    while len(cases) < num_blows:
        cases += round_of(roles, chance)
    cases = cases[:num_blows]
    room = steps_a_run - 4
    return [
        [
            Blow(role=role, step=step, phase=phase, fraction=chance.random(), signal=one)
            for step, (role, one, phase) in enumerate(cases[start : start + room], 2)
        ]
        for start in range(0, num_blows, room)
    ]
