"""A run of `museg train` in processes of its own, followed from outside and struck as a plan says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from museg.runs.directory import RunDirectory
from tests.chaos import processes
from tests.chaos.material import Material
from tests.chaos.plan import BETWEEN, START, Blow, StepTimes, phase_at
from tests.chaos.record import PHASES

REPOSITORY = Path(__file__).parents[2]
_LOOK_S = 0.01
_ENDS_S = 180.0
"""Longest time for a driver to end whose Ray is gone."""
_PAUSE_S = 40.0
"""How long a driver is stopped: its workers' heartbeats, and what they would be given to answer, go by meanwhile."""
_LIVES = 20
"""Drivers that one run may use up: more is a run that doesn't come forward."""


def launched(arguments: Sequence[str], *, within: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """`museg` in a process of its own, with a Ray of its own; all that it prints comes by its stdout.

    `within` is a command that runs it somewhere else, such as in a network namespace.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        [*within, sys.executable, "-m", "museg", *arguments],
        cwd=REPOSITORY,
        env=inherited | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@dataclass(slots=True, kw_only=True)
class Struck:
    """A blow that was dealt, and how the run got over it."""

    blow: Blow
    at_s: float
    """As `time.monotonic()` counts."""
    step: int
    """The step that it hit: the plan's, unless this run is faster than the undisturbed one was."""
    phase: str
    """The phase that it hit, by the laps that the step then had."""
    workers: Mapping[str, int]
    """Pids of that moment, by role; empty while the run starts."""
    back_s: float | None = None
    """Seconds until the role was filled and ready again (a decoder, a driver that is let go on: never told)."""
    step_s: float | None = None
    """Seconds until the next step was finished."""

    @property
    def is_waited_for(self) -> bool:
        """The run will say when it has got over the blow, and hasn't yet."""
        return self.back_s is None and self.blow.role != processes.DECODER and not self.blow.pauses


@dataclass(slots=True, kw_only=True)
class DisturbedRun:
    """One run until it is complete, its driver submitted again whenever it was killed.

    run = DisturbedRun(material=material, name="first", blows=blows, times=times)
    run.complete()                            # run.struck, run.missed, run.directory, run.failure
    """

    material: Material
    name: str
    overrides: Sequence[str] = ()
    blows: Sequence[Blow] = ()
    times: StepTimes | None = None
    """Of the undisturbed run; needed where there are blows."""
    give_up_s: float = 600.0
    """Without a finished step for so long the run is stuck."""
    struck: list[Struck] = field(default_factory=list)
    missed: Sequence[Blow] = ()
    """Blows that the run was over before."""
    failure: str | None = None
    finished_s: dict[int, float] = field(default_factory=dict)
    """Step → when its row was first seen, in the present driver's life."""
    said: list[tuple[float, str]] = field(default_factory=list)
    """When the run printed which line."""
    family: processes.Family = field(default_factory=processes.Family)

    @property
    def directory(self) -> RunDirectory:
        return self.material.run(self.name)

    def complete(self) -> None:
        """Run to the end; `failure` says why that wasn't reached, or what was left over."""
        waiting = list(self.blows)
        try:
            for _ in range(_LIVES):
                code, killed = self._live(waiting)
                if code == 0 or not killed:
                    break
            if code != 0:
                self.failure = f"exit code {code}: {' | '.join(line for _, line in self.said[-5:])}"
            elif left := self.family.left(wait_s=15):
                self.failure = f"processes outlive the run: {[' '.join(process.cmdline())[:80] for process in left]}"
        finally:
            self.missed = waiting
            self.family.end()

    def _live(self, waiting: list[Blow]) -> tuple[int, bool]:
        """One driver's life: its exit code, and whether it was killed on purpose."""
        with launched(self.material.command(self.name, *self.overrides)) as driver:
            reader = threading.Thread(target=self._listen, args=(driver,), daemon=True)
            reader.start()
            killed = self._follow(driver, waiting)
            reader.join(timeout=10)
        return driver.returncode, killed

    def _follow(self, driver: subprocess.Popen[str], waiting: list[Blow]) -> bool:
        self.finished_s = {}
        started_s = time.monotonic()
        without_ray = False
        while driver.poll() is None:
            self._count_steps(driver)
            last_s = max(self.finished_s.values(), default=started_s)
            if time.monotonic() - last_s > self.give_up_s:
                self._give_up(driver, f"no step was finished for {self.give_up_s:g} s")
                return False
            if waiting and self._is_due(waiting[0]) and self._strike(driver, waiting[0]):
                blow = waiting.pop(0)
                without_ray |= blow.role in processes.OF_RAY
                if blow.pauses:
                    threading.Timer(_PAUSE_S, driver.send_signal, [signal.SIGCONT]).start()
                elif blow.role == "driver":
                    return self._ends(driver)
            time.sleep(_LOOK_S)
        self._count_steps(driver)
        return without_ray and driver.returncode != 0

    def _ends(self, driver: subprocess.Popen[str]) -> bool:
        try:
            driver.wait(timeout=_ENDS_S)
        except subprocess.TimeoutExpired:
            self._give_up(driver, f"the driver lives on {_ENDS_S:g} s after {self.struck[-1].blow}")
            return False
        return True

    def _give_up(self, driver: subprocess.Popen[str], why: str) -> None:
        self.said.append((time.monotonic(), why))
        self.family.look(driver.pid)
        driver.kill()

    def _count_steps(self, driver: subprocess.Popen[str]) -> None:
        """Note the steps that were finished since the last look."""
        workers = processes.present(self.directory, driver.pid)
        if not workers and driver.poll() is None:
            return  # the rows are an earlier driver's
        file = self.directory.metrics_file
        num_rows = file.read_bytes().count(b"\n") if file.exists() else 0
        now = time.monotonic()
        if num_rows not in self.finished_s:
            first = max(self.finished_s, default=num_rows - 1) + 1
            self.finished_s |= dict.fromkeys(range(first, num_rows + 1), now)
            self.family.look(driver.pid)
            for struck in self.struck:
                others = workers.get("learner-0") != struck.workers.get("learner-0")
                if struck.blow.role in processes.ENDING and struck.is_waited_for and others:
                    struck.back_s = now - struck.at_s
                if struck.step_s is None and num_rows >= struck.step:
                    struck.step_s = now - struck.at_s
                    struck.phase = self._phase_of(struck)

    def _is_due(self, blow: Blow) -> bool:
        """Its moment has come, and the run has got over the blow before."""
        if any(struck.is_waited_for for struck in self.struck):
            return False
        if blow.phase == START:
            return not self.finished_s
        began_s = self.finished_s.get(blow.step - 1)
        assert self.times is not None, "blows need the undisturbed run's times"
        return began_s is not None and time.monotonic() >= began_s + self.times.offset_s(blow.phase, blow.fraction)

    def _strike(self, driver: subprocess.Popen[str], blow: Blow) -> bool:
        """False where its victim isn't there yet."""
        workers = processes.present(self.directory, driver.pid)
        if blow.phase == START:
            victims = processes.at_work(driver.pid, blow.role)
        else:
            victims = processes.victims(blow.role, workers)
        if not victims:
            return False
        self.family.look(driver.pid)
        try:
            os.kill(victims[0], blow.signal)
        except ProcessLookupError:
            return False
        step = max(self.finished_s, default=0) + 1
        self.struck.append(Struck(blow=blow, at_s=time.monotonic(), step=step, phase=blow.phase, workers=workers))
        return True

    def _listen(self, driver: subprocess.Popen[str]) -> None:
        assert driver.stdout is not None
        for line in driver.stdout:
            now, text = time.monotonic(), line.rstrip()
            self.said.append((now, text))
            for struck in self.struck:
                if struck.back_s is None and is_back(struck.blow.role, text):
                    struck.back_s = now - struck.at_s
                    break

    def step_times(self) -> StepTimes:
        """Of a run whose driver lived through."""
        rows = [{key: float(str(row[key])) for key in row} for row in self.directory.read_metrics()]
        gaps = [
            self.finished_s[step] - self.finished_s[step - 1] - rows[step - 1]["time/step_s"]
            for step in sorted(self.finished_s)
            if step - 1 in self.finished_s and step > 1
        ]
        return StepTimes.of(rows, [max(gap, 0.0) for gap in gaps])

    def _phase_of(self, struck: Struck) -> str:
        """The phase that was hit, by the row of its step; the plan's word where all began again."""
        began_s = self.finished_s.get(struck.step - 1)
        if began_s is None or began_s > struck.at_s or struck.blow.role in processes.ENDING:
            return struck.phase
        row = self.directory.read_metrics()[struck.step - 1]
        laps = {phase: float(str(row[f"time/{phase}_s"])) for phase in PHASES}
        between_s = self.finished_s[struck.step] - began_s - sum(laps.values())
        return phase_at(struck.at_s - began_s, {BETWEEN: between_s, **laps})


def is_back(role: str, line: str) -> bool:
    """Whether the run says that the role is filled again; a learner rank comes back with its gang."""
    name = "learner" if role.startswith("learner-") else role
    return f"] {name} is back after" in line
