"""`make chaos`: every role killed and stopped in every phase, the numbers compared to the last bit, recoveries timed.

python -m tests.chaos.suite --kills 60 --output cache/chaos
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.chaos.disturbed_run import DisturbedRun, Struck
from tests.chaos.material import NUM_SAMPLES, Material, prepare
from tests.chaos.plan import Blow, StepTimes, deal
from tests.chaos.processes import DECODER
from tests.chaos.record import Record

STEPS = 14
KILL, STOP = signal.SIGKILL, signal.SIGSTOP
ROLES: Mapping[int, Mapping[str, Sequence[signal.Signals]]] = {
    1: {
        "generation-0": (KILL, STOP),
        "reward-1": (KILL, STOP),
        DECODER: (KILL,),
        "learner-0": (KILL,),
        "driver": (KILL,),
        "raylet": (KILL,),
    },
    2: {"generation-1": (KILL,), "learner-0": (KILL, STOP), "learner-1": (KILL, STOP)},
}
"""Learner ranks → who is struck, by which signals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all runs that are compared have in common."""

    num_ranks: int = 1
    steps: int = STEPS
    patience_s: float = 30.0
    """Every deadline of the run: a stopped worker is noticed so late, a busy machine's slow one isn't taken for it."""

    def overrides(self) -> list[str]:
        rooms = ("generation", "reward", "learner", "sync")
        deadlines = [f"{room}.timeout_s={self.patience_s:g}" for room in rooms]
        return [f"learner.ranks={self.num_ranks}", f"grpo.steps={self.steps}", *deadlines]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """The run that the others are compared with."""

    record: Record
    times: StepTimes


def undisturbed(material: Material, shape: Shape) -> Undisturbed:
    run = DisturbedRun(material=material, name=f"undisturbed-{shape.num_ranks}", overrides=shape.overrides())
    run.complete()
    if run.failure:
        raise SystemExit(f"the undisturbed run failed: {run.failure}")
    return Undisturbed(record=Record.of(run.directory), times=run.step_times())


def disturb(
    material: Material, name: str, blows: Sequence[Blow], reference: Undisturbed, shape: Shape
) -> tuple[list[Struck], list[str]]:
    """What was struck in one run, and what is wrong with it: nothing, or a line each."""
    run = DisturbedRun(
        material=material,
        name=name,
        overrides=shape.overrides(),
        blows=blows,
        times=reference.times,
    )
    run.complete()
    (run.directory.path / "said.txt").write_text("".join(f"{at_s:.2f} {line}\n" for at_s, line in run.said))
    if run.failure:
        return run.struck, [run.failure]
    record = Record.of(run.directory)
    return run.struck, [*record.differences(reference.record), *record.misused_samples(NUM_SAMPLES)]


def table(struck: Iterable[Struck]) -> str:
    """Markdown: role, signal and phase with the seconds until the role was filled and until the next step was done."""
    cases: defaultdict[tuple[str, str, str], list[Struck]] = defaultdict(list)
    for one in struck:
        for phase in (one.phase, "all"):
            cases[one.blow.role, one.blow.signal.name, phase].append(one)
    lines = [
        "| struck | signal | phase | times | back after: median | longest | next step after: median | longest |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for (role, name, phase), ones in sorted(cases.items()):
        figures = " | ".join(
            seconds
            for values in ([one.back_s for one in ones], [one.step_s for one in ones])
            for seconds in _two(values)
        )
        lines.append(f"| {role} | {name} | {phase} | {len(ones)} | {figures} |")
    return "\n".join(lines) + "\n"


def _two(values: Sequence[float | None]) -> tuple[str, str]:
    known = [value for value in values if value is not None]
    return (f"{statistics.median(known):.1f} s", f"{max(known):.1f} s") if known else ("", "")


def _roles(num_ranks: int, only: Sequence[str] | None) -> dict[str, Sequence[signal.Signals]]:
    """All of that shape, or those that are asked for."""
    return {role: ROLES[num_ranks].get(role, (KILL,)) for role in only or ROLES[num_ranks]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    parser.add_argument("--patience", type=float, default=30, help="seconds of every deadline; more on a busy machine")
    parser.add_argument("--only", nargs="+", metavar="ROLE", help="names of workers.json, decoder, raylet, gcs_server")
    parser.add_argument("--ranks", type=int, choices=sorted(ROLES), action="append", help="of the learner")
    parser.add_argument("--output", type=Path, default=Path("cache/chaos"))
    args = parser.parse_args()
    console, began_s = Console(), time.monotonic()
    material = prepare(args.output.absolute())
    shutil.rmtree(material.runs, ignore_errors=True)
    struck, wrong = [], []
    roles_of = {ranks: _roles(ranks, args.only) for ranks in args.ranks or sorted(ROLES)}
    for num_ranks, roles in roles_of.items():
        num_blows = args.kills * len(roles) // sum(map(len, roles_of.values()))
        shape = Shape(num_ranks=num_ranks, steps=args.steps, patience_s=args.patience)
        reference = undisturbed(material, shape)
        for index, blows in enumerate(deal(roles, num_blows, args.steps, args.seed)):
            name = f"ranks-{num_ranks}-{index}"
            some, faults = disturb(material, name, blows, reference, shape)
            struck += some
            wrong += [f"{name}: {fault}" for fault in faults]
            state = "the numbers of the undisturbed run" if not faults else f"WRONG: {faults[0]}"
            console.print(f"{name}: {len(some)} blows, {state}", markup=False, highlight=False, soft_wrap=True)
            told = f"{len(struck)} blows in {time.monotonic() - began_s:.0f} s, seed {args.seed}; {len(wrong)} wrong"
            report = "\n".join([table(struck), *wrong, told, ""])
            (args.output / "recovery.md").write_text(report)
    console.print(report, markup=False, highlight=False, soft_wrap=True)
    return 1 if wrong or len(struck) < args.kills * 0.9 else 0


if __name__ == "__main__":
    sys.exit(main())
