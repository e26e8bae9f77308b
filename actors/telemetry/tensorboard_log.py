"""A run's rows as TensorBoard shows them."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from actors.telemetry.step_log import Row


class TensorBoardLog:
    """Every key of a row is a curve; `tensorboard --logdir runs` shows those of all runs."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """What an earlier life of the run wrote from `first_step` on, TensorBoard forgets."""
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def log(self, row: Row) -> None:
        for key, value in row.items():
            if key != "step":
                self._writer.add_scalar(key, value, int(row["step"]), walltime=row["time/unix_s"])
        self._writer.flush()

    def close(self, status: str) -> None:
        self._writer.close()
