"""Who a run's workers are at present: `workers.json` in the run directory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ray.exceptions import RayError

from actors.faults.seat import Seat
from actors.faults.watched import Whereabouts
from actors.waiting import DeadlineError
from museg.runs.directory import write_atomically
from museg.runs.health import HEARTBEAT_S


class Roster:
    """Keeps `workers.json` true while the run goes: for users (py-spy, top), and for who puts workers to the test.

        roster = Roster(run.workers_file)
        await roster.follow(seats)
        ...
        roster.close()

    The file maps names to `{"pid": …, "node_id": …, "life": …}`: `driver`, with its `host` too, and every seat whose
    actor could be asked. It is touched every few seconds: one that grows old is of a driver that is gone.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seats: list[Seat] = []
        self._beating: asyncio.Task[None] | None = None

    async def follow(self, seats: Iterable[Seat]) -> None:
        """Write the file now, once each seat that is waited for has told, and whenever a worker comes or goes."""
        self._seats = list(seats)
        await asyncio.gather(*(_told(seat) for seat in self._seats))
        for seat in self._seats:
            seat.on_changed = self._write
        self._write()
        self._beating = asyncio.create_task(self._beat())

    def close(self) -> None:
        """Remove the file: the workers end with the run."""
        if self._beating is not None:
            self._beating.cancel()
        for seat in self._seats:
            seat.on_changed = None
        self._file.unlink(missing_ok=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with suppress(OSError):
                os.utime(self._file)

    def _write(self) -> None:
        driver = _row(Whereabouts.of_this_process(), 0)
        rows = {"driver": {**driver, "host": socket.gethostname()}}
        rows |= {seat.name: _row(seat.where, seat.life) for seat in self._seats if seat.where is not None}
        # A full disk is told of by what the run can't do without.
        with suppress(OSError):
            write_atomically(self._file, json.dumps(rows, indent=2) + "\n")


async def _told(seat: Seat) -> None:
    """Wait for its whereabouts; one that is dead already is noticed, and filled anew, by who needs it first."""
    if seat.where is None and not seat.vacant:
        with suppress(RayError, DeadlineError):
            await seat.filled()


def _row(where: Whereabouts, life: int) -> dict[str, object]:
    return {"pid": where.pid, "node_id": where.node_id, "life": life}
