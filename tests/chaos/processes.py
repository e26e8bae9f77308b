"""The processes of a run: who is who, by the run's own `workers.json`, and who is left over."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import psutil

from museg.runs.directory import RunDirectory

DECODER = "decoder"
"""The child in which a reward worker decodes: the only victim that isn't in `workers.json`."""


def present(run: RunDirectory, driver_pid: int) -> dict[str, int]:
    """Name → pid of the driver's workers; empty while it has named none (a killed driver leaves its file behind)."""
    try:
        rows = json.loads(run.workers_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: row["pid"] for name, row in rows.items()} if rows["driver"]["pid"] == driver_pid else {}


def decoders(workers: dict[str, int]) -> list[int]:
    """Children of the reward workers."""
    found: list[int] = []
    for name, pid in workers.items():
        if name.startswith("reward-") and psutil.pid_exists(pid):
            try:
                found += [child.pid for child in psutil.Process(pid).children()]
            except psutil.NoSuchProcess:
                continue
    return found


@dataclass(slots=True)
class Family:
    """Every process that a driver was seen to have, so that none outlives the run unnoticed."""

    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def look(self, driver_pid: int) -> list[psutil.Process]:
        """The driver and all its descendants at present."""
        try:
            driver = psutil.Process(driver_pid)
            now = [driver, *driver.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self.seen |= {process.pid: process for process in now if process.pid not in self.seen}
        return now

    def left(self, wait_s: float) -> list[psutil.Process]:
        """Those that are still alive after so many seconds."""
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=wait_s)
        return alive

    def end(self) -> None:
        """Kill what is left, whatever state it is in."""
        for process in self.seen.values():
            if process.is_running():  # the same process, not another that has its pid by now
                process.kill()


def wait_until_dead(pid: int, wait_s: float = 10.0) -> None:
    deadline = time.monotonic() + wait_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} survived SIGKILL for {wait_s:g} s"
        time.sleep(0.01)
