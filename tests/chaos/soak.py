"""A long run with a worker killed now and then: nothing that it uses may grow.

python -m tests.chaos.soak --minutes 60 --every 30                  # warm after a quarter of the time
python -m tests.chaos.soak --minutes 20 --every 30 --warm-up 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import ray
from rich.console import Console

from museg.runs.directory import RunDirectory
from tests.chaos import processes
from tests.chaos.disturbed_run import launched
from tests.chaos.material import prepare
from tests.chaos.usage import FULLEST, MIB, Growth, Sample, growths, object_store_mib, used

ALLOWED_GROWTH = 0.05
WARM_UP_SHARE = 0.25
_SAMPLE_S = 2.0
"""What the object store holds swings with each step; many samples make its median steady."""
_STORE_MIB = 128
"""Of Ray's object store, which is the bound of `FULLEST`: all that a run holds has to fit in there."""


@dataclass(slots=True, kw_only=True)
class Soak:
    """One run under watch for so many seconds."""

    run: RunDirectory
    driver: subprocess.Popen[str]
    temp: Path
    seconds: float
    every_s: float
    chance: random.Random
    family: processes.Family = field(default_factory=processes.Family)
    samples: list[Sample] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    _next: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Sample and kill until the time is over or the run ends."""
        began_s = time.monotonic()
        next_kill_s = self.every_s
        while (now_s := time.monotonic() - began_s) < self.seconds and self.driver.poll() is None:
            workers = processes.present(self.run, self.driver.pid)
            alive = self.family.look(self.driver.pid)
            if workers:
                self._join(alive)
                values = used(alive, workers, self.temp, stored_mib=object_store_mib())
                self.samples.append(Sample(at_s=now_s, values=values))
            if workers and now_s >= next_kill_s:
                self._kill(workers)
                next_kill_s = now_s + self.every_s
            time.sleep(_SAMPLE_S)

    def _kill(self, workers: dict[str, int]) -> None:
        """Each role once before any is struck again, so that no part of the time has more of the costly deaths."""
        if not self._next:
            self._next = [*sorted(name for name in workers if name != "driver"), processes.DECODER]
            self.chance.shuffle(self._next)
        role = self._next.pop()
        with suppress(ProcessLookupError):
            for victim in processes.victims(role, workers)[:1]:
                os.kill(victim, signal.SIGKILL)
                self.killed.append(role)

    def _join(self, alive: Sequence[psutil.Process]) -> None:
        """Be a client of the run's Ray, to read how full its object store is."""
        if ray.is_initialized():
            return
        raylet = next(process for process in alive if process.name() == "raylet")
        flag = "--gcs-address="
        address = next(word.removeprefix(flag) for word in raylet.cmdline() if word.startswith(flag))
        ray.init(address=address, namespace="soak", log_to_driver=False, configure_logging=False)


def table(found: Sequence[Growth]) -> str:
    lines = ["| | early | late | growth |", "|---|---:|---:|---:|"]
    lines += [f"| {one.name} | {one.early:.1f} | {one.late:.1f} | {one.share:+.1%} |" for one in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, help="minutes that don't count (default: a quarter)")
    parser.add_argument("--every", type=float, default=30, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("cache/chaos"))
    args = parser.parse_args()
    warm_up_s = 60 * (WARM_UP_SHARE * args.minutes if args.warm_up is None else args.warm_up)
    if not 0 <= warm_up_s < 60 * args.minutes:
        parser.error(f"--warm-up {args.warm_up:g} leaves nothing of {args.minutes:g} minutes")
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray reads it when it is imported; without, only who starts a Ray has its token, and here a client is needed.
        os.execve(sys.executable, [*sys.orig_argv], os.environ | {"RAY_AUTH_MODE": "token"})
    material = prepare(args.output.absolute())
    run = RunDirectory(material.runs / "soak")
    shutil.rmtree(run.path, ignore_errors=True)
    # Short, since Ray puts sockets there, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temp:
        small_store = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(_STORE_MIB * MIB)}
        arguments = material.command("soak", "grpo.steps=1000000", "checkpoint.every_steps=50")
        with launched(arguments, TMPDIR=temp, RAY_TMPDIR=temp, **small_store) as driver:
            soak = Soak(
                run=run,
                driver=driver,
                temp=Path(temp),
                seconds=60 * args.minutes,
                every_s=args.every,
                chance=random.Random(args.seed),
            )
            try:
                problem = _soaked(soak)
            finally:
                soak.family.end()
    (args.output / "soak.jsonl").write_text("".join(f"{json.dumps(asdict(sample))}\n" for sample in soak.samples))
    found = growths(soak.samples, warm_up_s)
    problems = [problem] if problem else []
    problems += [f"grows: {one.name}" for one in found if one.share >= ALLOWED_GROWTH and one.name != FULLEST]
    report = f"""{table(found)}
{len(run.read_metrics())} steps, {len(soak.killed)} kills, {args.minutes:g} minutes, {warm_up_s / 60:g} of warm-up
"""
    report += "".join(f"\n{one}" for one in problems)
    (args.output / "soak.md").write_text(report + "\n")
    Console().print(report, markup=False, highlight=False, soft_wrap=True)
    return 1 if problems or not found else 0


def _soaked(soak: Soak) -> str | None:
    """Watch the run and stop it; what went wrong, if anything did."""
    said: list[str] = []
    assert soak.driver.stdout is not None
    listener = threading.Thread(target=said.extend, args=(soak.driver.stdout,), daemon=True)
    listener.start()
    try:
        soak.watch()
    finally:
        ray.shutdown()
    if soak.driver.poll() is not None:
        return f"the run ended by itself with exit code {soak.driver.returncode}: {' | '.join(said[-3:])}"
    soak.driver.send_signal(signal.SIGTERM)
    code = soak.driver.wait(timeout=120)
    left = soak.family.left(wait_s=15)
    if code != 130 or left:
        return f"stopping it ended with exit code {code}; {len(left)} processes were left"
    return None


if __name__ == "__main__":
    sys.exit(main())
