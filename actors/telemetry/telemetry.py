"""All that is told of a run beside metrics.jsonl, as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.util import get_node_ip_address

from actors.records import StepClock
from actors.telemetry.mlflow_log import MlflowLog
from actors.telemetry.moment import CONCLUDE, PHASES, START, Moment
from actors.telemetry.outside import KnownRuns
from actors.telemetry.page_server import PageServer, Target, announce, target, withdraw
from actors.telemetry.run_page import RunPage
from actors.telemetry.step_log import Row, StepLog
from actors.telemetry.tensorboard_log import TensorBoardLog
from actors.telemetry.wandb_log import WandbLog
from museg.config.schema import Config
from museg.runs.directory import RunDirectory


class Telemetry:
    """Each step's row goes to all logs; without any, nothing is told.

    with run_telemetry(config, run, say) as telemetry:        # the page is up, and tells that the run starts
        telemetry.moment.sources = Sources(…)                 # from now on, what goes on
        begin_logs(telemetry, config, run, step, say)         # files in the run directory from here on
        telemetry.log(row)
        telemetry.end("completed")
    """

    def __init__(self) -> None:
        self.moment = Moment()
        self.address: str | None = None
        """Of the page, where there is one."""
        self._logs: list[StepLog] = []
        self._status = "running"

    def add(self, *logs: StepLog) -> None:
        self._logs += logs

    def clock(self) -> StepClock:
        """Of a step that begins; the moment follows its laps."""
        self.moment.phase = PHASES[0]
        return StepClock(self.moment.lap)

    def log(self, row: Row) -> None:
        """Take the row of a concluded step."""
        for log in self._logs:
            log.log(row)
        self.moment.phase = CONCLUDE

    def checkpoint_took(self, seconds: float) -> None:
        """Note how long a checkpoint took."""
        self.moment.checkpoint_s = seconds

    def end(self, status: str) -> None:
        """Note how the run ended; `close` tells it."""
        self._status = status

    def close(self) -> None:
        for log in self._logs:
            log.close(self._status)
        self._logs.clear()


@contextmanager
def run_telemetry(config: Config, run: RunDirectory, say: Callable[[str], None]) -> Iterator[Telemetry]:
    """A run's telemetry, with its page for Prometheus (`telemetry.port`) from the start to the end.

    Raises:
        ConfigError: the page can't have the address that is asked for.
    """
    telemetry = Telemetry()
    page = RunPage(config, telemetry.moment, run.read_skipped)
    telemetry.add(page)
    asked, server = config.telemetry, None
    if asked.port is not None:
        server = PageServer(page.registry, address=asked.address, port=asked.port, say=say)
        telemetry.address = server.address(get_node_ip_address())
    try:
        yield telemetry
    finally:
        telemetry.close()
        if server is not None:
            withdraw(run.targets_files)
            server.close()


def begin_logs(telemetry: Telemetry, config: Config, run: RunDirectory, step: int, say: Callable[[str], None]) -> None:
    """Go on with a run after a step: the page's counters from where they were, the other logs with what comes.

    Raises:
        ConfigError: Weights & Biases or MLflow are asked for and can't be reached.
    """
    for row in run.read_metrics():
        telemetry.log({key: float(str(value)) for key, value in row.items()})
    telemetry.moment.phase = START
    telemetry.add(TensorBoardLog(run.tensorboard, first_step=step + 1))
    known = KnownRuns(run.outside_file)
    if config.telemetry.wandb.enabled:
        telemetry.add(WandbLog(config, run.path, known))
    if config.telemetry.mlflow.enabled:
        telemetry.add(MlflowLog(config, known, say))
    if telemetry.address is not None:
        pages = [target(telemetry.address, run=config.run.name), *_local_workers()]
        announce(pages, run.targets_files)


def _local_workers() -> list[Target]:
    """Where the workers' metrics are, of a Ray that nobody else watches; a cluster's Prometheus finds its own."""
    if os.environ.get("RAY_ADDRESS"):
        return []
    ports = [(node["NodeManagerAddress"], node["MetricsExportPort"]) for node in ray.nodes() if node["Alive"]]
    return [target(f"{address}:{port}", job="ray") for address, port in ports]
