"""One driver a run directory: a second one is refused, rather than both writing over one another."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from museg.errors import ConfigError

_FILE = "driver.lock"
_LOOKS, _LOOK_S = 5, 0.1
"""`held_since_unix_s` keeps a driver out for a moment."""


class RunLock:
    """Of a run directory, once that is there; let go by `close`, or by the system however the process ends.

    with closing(RunLock(run.path)) as lock:
        lock.take()                     # a directory that isn't there yet is nobody's
        run.create(...)
        lock.take()
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: TextIO | None = None

    def take(self) -> None:
        """Hold the directory, if it is there.

        Raises:
            ConfigError: another process holds it.
        """
        if self._file is not None or not self._folder.is_dir():
            return
        file = (self._folder / _FILE).open("a+", encoding="utf-8")
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise ConfigError(
                f"{self._folder} is being written by {holder}: wait for its end, or choose another run.name"
            ) from None
        except OSError as error:
            file.close()
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            return  # a file system without locks
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        self._file = file

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None


def held_since_unix_s(folder: Path) -> float | None:
    """Since when a process, on whichever machine, has held a run directory; None if none does, or nobody can say."""
    try:
        with (folder / _FILE).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    return None


def _lock(file: TextIO) -> None:
    """Raises BlockingIOError: it is another's for longer than a look."""
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOOK_S)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
