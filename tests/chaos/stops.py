"""One run that is stopped by signals at random moments and submitted again each time: `python -m tests.chaos.stops`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from museg.runs.directory import RunDirectory
from tests.chaos import processes
from tests.chaos.material import Material, prepare
from tests.chaos.record import Record

REPOSITORY = Path(__file__).parents[2]
INTERRUPTED = 130
_LOOK_S = 0.01
_GIVE_UP_S = 300.0
_STEPS_A_MOMENT = 3
"""More than a life gets done on average, so that the run isn't over before all moments were."""
_AGAIN_S = 0.3
_AT_ONCE_S = 2.0
"""In which a run ends after the second signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a life of the run gets a signal, and how long it then has."""

    after_rows: int | None
    """New rows of metrics.jsonl that are waited for; None: from the process's start on."""
    delay_s: float
    number: signal.Signals
    grace_s: float
    again: bool = False
    """Sent once more, a little later: that ends the run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How one life ended."""

    moment: Moment | None
    code: int
    seconds: float
    """From the signal to the end of the process."""
    rows: int
    """Steps on record."""
    left: int
    """Processes of its own that it left behind."""
    said: str
    """Its last lines."""

    @property
    def wrong(self) -> bool:
        """Another exit code than 130 (0 where the run was over before; the signal's own if it came twice), too late, or
        not alone."""
        if self.moment is None:
            return self.code != 0 or self.left > 0
        codes, limit_s = (0, INTERRUPTED), self.moment.grace_s
        if self.moment.again:
            codes, limit_s = (0, INTERRUPTED, -self.moment.number), _AT_ONCE_S
        return self.code not in codes or self.seconds > limit_s or self.left > 0

    def line(self) -> str:
        """For people."""
        if self.moment is None:
            return f"left alone: exit {self.code}, {self.rows} steps"
        place = "start" if self.moment.after_rows is None else "step"
        signals = f"{self.moment.number.name}{' twice' if self.moment.again else ''}"
        return (
            f"{signals}, {place} + {self.moment.delay_s:.1f} s, grace {self.moment.grace_s:g} s: "
            f"exit {self.code} after {self.seconds:.1f} s, {self.rows} steps, {self.left} processes left"
            f"{' (WRONG)' if self.wrong else ''}: {self.said[-160:]}"
        )


@dataclass(slots=True, kw_only=True)
class StoppedRun:
    """A run through as many lives as there are moments, and one more to its end."""

    material: Material
    name: str
    overrides: Sequence[str] = ()
    stops: list[Stop] = field(default_factory=list)
    family: processes.Family = field(default_factory=processes.Family)

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.material.runs / self.name)

    def live(self, moment: Moment | None = None, *more: str) -> Stop:
        """One process from start to end. It may be over before its moment comes."""
        grace = [f"recovery.grace_s={moment.grace_s:g}"] if moment else []
        command = [sys.executable, "-m", "museg", *self.material.command(self.name, *self.overrides, *grace, *more)]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with tempfile.TemporaryFile("w+") as said:
            driver = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment | {"OMP_NUM_THREADS": "1"},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                sent_s = self._wait_for(moment, driver) if moment else time.monotonic()
                code = driver.wait(timeout=_GIVE_UP_S)
                ended_s = time.monotonic()
            finally:
                self.family.look(driver.pid)
                driver.kill()
            said.seek(0)
            lines = said.read().splitlines()[-6:]
        return Stop(
            moment=moment,
            code=code,
            seconds=ended_s - sent_s,
            rows=self._num_rows(),
            left=len(self.family.left(wait_s=10)),
            said=" | ".join(lines),
        )

    def complete(self, moments: Sequence[Moment]) -> Iterator[Stop]:
        """Live through all moments, and then to the end; each life as it ends."""
        try:
            for moment in [*moments, None]:
                self.stops.append(self.live(moment))
                yield self.stops[-1]
        finally:
            self.family.end()

    def _wait_for(self, moment: Moment, driver: subprocess.Popen[bytes]) -> float:
        """Send the signal at its moment; when that was."""
        rows, deadline_s = self._num_rows(), time.monotonic() + _GIVE_UP_S
        while moment.after_rows and self._num_rows() < rows + moment.after_rows and driver.poll() is None:
            assert time.monotonic() < deadline_s, f"no step was finished in {_GIVE_UP_S:g} s"
            time.sleep(_LOOK_S)
        time.sleep(moment.delay_s)
        self.family.look(driver.pid)
        if driver.poll() is None:
            driver.send_signal(moment.number)
        if moment.again:
            time.sleep(_AGAIN_S)
            driver.send_signal(moment.number)
        return time.monotonic()

    def _num_rows(self) -> int:
        file = self.directory.metrics_file
        return file.read_bytes().count(b"\n") if file.exists() else 0


def random_moments(number: int, *, seed: int, step_s: float, start_s: float) -> list[Moment]:
    """A fifth while the run starts, the others within a step, its evaluation or the checkpoint after it.

    Half have a grace in which hardly a step can be finished. The last but one is sent twice.
    """
    chosen, moments = random.Random(seed), []
    for place in range(number):
        starting = place % 5 == 4
        moments.append(
            Moment(
                after_rows=None if starting else 1,
                delay_s=chosen.uniform(0, start_s if starting else step_s),
                number=chosen.choice([signal.SIGTERM, signal.SIGINT]),
                grace_s=(30.0, 7.0)[place % 2],
                again=place == number - 2,
            )
        )
    return moments


def overrides_of(material: Material) -> list[str]:
    """What a stopped run has beside the suite's: one learner rank, evaluations, checkpoints at every other step."""
    evaluation = [f"data.eval={material.data / 'eval.jsonl'}", "eval.blind=false", "eval.every_steps=3"]
    return ["learner.ranks=1", *evaluation, "eval.samples=2", "checkpoint.every_steps=2"]


def undisturbed(material: Material, overrides: Sequence[str]) -> tuple[Record, float, float]:
    """The same run left alone: its record, the seconds of a step, and those until the first."""
    run = StoppedRun(material=material, name="undisturbed", overrides=overrides)
    [end] = run.complete([])
    assert end.code == 0, end.said
    steps = [float(str(row["time/step_s"])) for row in run.directory.read_metrics()]
    return Record.of(run.directory), sum(steps) / len(steps), max(1.0, end.seconds - sum(steps))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument(
        "--root", type=Path, default=Path("cache/chaos/stops"), help="folder for data, model and runs (%(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    # A shell has its background jobs ignore Ctrl-C, and the run would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    material = prepare(args.root.absolute())
    shutil.rmtree(material.runs, ignore_errors=True)
    overrides = [*overrides_of(material), f"grpo.steps={_STEPS_A_MOMENT * args.moments}", *args.overrides]
    record, step_s, start_s = undisturbed(material, overrides)
    print(f"undisturbed: {step_s:.2f} s a step, {start_s:.1f} s to start")
    run = StoppedRun(material=material, name=f"stopped-{args.seed}", overrides=overrides)
    wrong = early = 0
    for stop in run.complete(random_moments(args.moments, seed=args.seed, step_s=2 * step_s, start_s=start_s)):
        wrong += stop.wrong
        early += stop.moment is not None and stop.code == 0
        print(stop.line(), flush=True)
    different = list(Record.of(run.directory).differences(record))
    print(f"{early} of {args.moments} moments came when the run was over")
    print("\n".join(different) or "weights, metrics and completions are those of the undisturbed run, to the last bit")
    return int(bool(different or wrong or early))


if __name__ == "__main__":
    sys.exit(main())
