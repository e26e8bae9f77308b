"""`make chaos`: every role killed and stopped in every phase, the numbers compared to the last bit, recoveries timed.

python -m tests.chaos.suite --blows 72 --output cache/chaos
"""

from __future__ import annotations

import argparse
import itertools
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
from tests.chaos.plan import Blow, StepTimes, deal, from_the_second_step, num_cases_of
from tests.chaos.processes import DECODER
from tests.chaos.record import Record

STEPS = 14
KILL, STOP = signal.SIGKILL, signal.SIGSTOP
ROLES: Mapping[int, Mapping[str, Sequence[signal.Signals]]] = {
    1: {
        "generation-0": (KILL, STOP),
        "reward-1": (KILL, STOP),
        DECODER: (KILL, STOP),
        "learner-0": (KILL,),
        "driver": (KILL, STOP),
        "raylet": (KILL,),
        "ray::RuntimeEnvAgent": (KILL,),
    },
    2: {"generation-1": (KILL,), "learner-0": (KILL, STOP), "learner-1": (KILL, STOP)},
}
"""Learner ranks → who is struck, by which signals: 60 kills and 12 stops a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all runs that are compared have in common."""

    num_ranks: int = 1
    steps: int = STEPS
    patience_s: float = 30.0
    """Every deadline of the run: what is slow on a busy machine isn't taken for dead."""
    heartbeat_s: float = 10.0
    """A stopped worker is noticed within twice that."""

    def overrides(self) -> list[str]:
        rooms = ("generation", "reward", "learner", "sync")
        deadlines = [f"{room}.timeout_s={self.patience_s:g}" for room in rooms]
        heartbeat = f"recovery.heartbeat_s={self.heartbeat_s:g}"
        return [f"learner.ranks={self.num_ranks}", f"grpo.steps={self.steps}", heartbeat, *deadlines]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """A run that was struck."""

    struck: Sequence[Struck]
    missed: Sequence[Blow]
    """Blows that it was over before."""
    wrong: Sequence[str]
    """What differs from the undisturbed run, a line each."""


def disturb(material: Material, name: str, blows: Sequence[Blow], reference: Undisturbed, shape: Shape) -> Disturbed:
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
        wrong = [run.failure]
    else:
        record = Record.of(run.directory)
        wrong = [*record.differences(reference.record), *record.misused_samples(NUM_SAMPLES)]
    return Disturbed(struck=run.struck, missed=run.missed, wrong=wrong)


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
    parser.add_argument("--blows", type=int, help="in all (default: one round, every case once)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    parser.add_argument("--patience", type=float, default=30, help="seconds of every deadline; more on a busy machine")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ROLE",
        help="names of workers.json, decoder, raylet, gcs_server, ray::DashboardAgent, …",
    )
    parser.add_argument("--ranks", type=int, choices=sorted(ROLES), action="append", help="of the learner")
    parser.add_argument("--output", type=Path, default=Path("cache/chaos"))
    args = parser.parse_args()
    console, began_s = Console(), time.monotonic()
    material = prepare(args.output.absolute())
    shutil.rmtree(material.runs, ignore_errors=True)
    struck, wrong = [], []
    roles_of = {ranks: _roles(ranks, args.only) for ranks in args.ranks or sorted(ROLES)}
    num_cases = sum(num_cases_of(roles) for roles in roles_of.values())
    wanted = args.blows or num_cases
    for num_ranks, roles in roles_of.items():
        num_blows = round(wanted * num_cases_of(roles) / num_cases)
        shape = Shape(num_ranks=num_ranks, steps=args.steps, patience_s=args.patience)
        reference = undisturbed(material, shape)
        to_come = deal(roles, num_blows, args.steps, args.seed)
        for index in itertools.count():
            if not to_come:
                break
            name = f"ranks-{num_ranks}-{index}"
            run = disturb(material, name, to_come.pop(0), reference, shape)
            struck += run.struck
            wrong += [f"{name}: {fault}" for fault in run.wrong]
            if run.struck and run.missed:
                to_come.append(from_the_second_step(run.missed))
            state = "the numbers of the undisturbed run" if not run.wrong else f"WRONG: {run.wrong[0]}"
            console.print(f"{name}: {len(run.struck)} blows, {state}", markup=False, highlight=False, soft_wrap=True)
            told = f"{len(struck)} blows in {time.monotonic() - began_s:.0f} s, seed {args.seed}; {len(wrong)} wrong"
            report = "\n".join([table(struck), *wrong, told, ""])
            (args.output / "recovery.md").write_text(report)
    console.print(report, markup=False, highlight=False, soft_wrap=True)
    return 1 if wrong or len(struck) < wanted * 0.9 else 0


if __name__ == "__main__":
    sys.exit(main())
