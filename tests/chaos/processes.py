"""The processes of a run: who is who, by the run's own `workers.json`, and who is left over."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import psutil

from museg.runs.directory import RunDirectory

DECODER = "decoder"
"""The child in which a reward worker decodes."""
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's own: they look now and then whether their raylet lives, and send its last metrics."""
_AGENTS_END_S = 60.0
OF_RAY = ("raylet", "gcs_server", *_AGENTS)
"""Processes of the run's Ray, with whose death all of it ends."""
ENDING = ("driver", *OF_RAY)
"""Whose death ends all workers: the run is submitted again, or begins again by itself."""


def present(run: RunDirectory, driver_pid: int) -> dict[str, int]:
    """Name → pid of the driver's workers; empty while it has named none (a killed driver leaves its file behind)."""
    try:
        rows = json.loads(run.workers_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: row["pid"] for name, row in rows.items()} if rows["driver"]["pid"] == driver_pid else {}


def victims(role: str, workers: dict[str, int]) -> list[int]:
    """The living processes of that role at present."""
    if role == DECODER:
        pids = decoders(workers)
    elif role in OF_RAY:
        pids = of_ray(workers["driver"], role) if workers else []
    else:
        pids = [workers[role]] if role in workers else []
    return [pid for pid in pids if _lives(pid)]


def at_work(driver_pid: int, role: str) -> list[int]:
    """The driver's actor of that name while it answers a call or is built, by the title that Ray gives its process."""
    try:
        descendants = psutil.Process(driver_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process.pid for process in descendants if f"/{role}:" in _title(process)]


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


def of_ray(driver_pid: int, name: str) -> list[int]:
    """The process of that name or title in the driver's Ray."""
    try:
        family = psutil.Process(driver_pid).children(recursive=True)
        return [process.pid for process in family if name in (process.name(), _title(process))]
    except psutil.NoSuchProcess:
        return []


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
        """Those that are still alive after so many seconds; agents of a Ray whose raylet is gone have longer."""
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=wait_s)
        if all(_is_agent(process) for process in alive):
            _, alive = psutil.wait_procs(alive, timeout=_AGENTS_END_S)
        return alive

    def end(self) -> None:
        """Kill what is left, whatever state it is in."""
        for process in self.seen.values():
            if process.is_running():  # the same process, not another that has its pid by now
                process.kill()


def _is_agent(process: psutil.Process) -> bool:
    return _title(process) in ("", *_AGENTS)


def _title(process: psutil.Process) -> str:
    """Empty: it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.NoSuchProcess:
        return ""


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
