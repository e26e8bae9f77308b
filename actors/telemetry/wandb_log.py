"""A run's rows at Weights & Biases."""

from __future__ import annotations

import secrets
from pathlib import Path

from actors.telemetry.outside import KnownRuns, flat_config
from actors.telemetry.step_log import Row
from museg.config.schema import Config
from museg.errors import ConfigError


class WandbLog:
    """One run there, whichever life of the run it is; steps that are there already are left out."""

    def __init__(self, config: Config, folder: Path, known: KnownRuns) -> None:
        """`folder` holds what waits to be sent, or `wandb sync` sends.

        Raises:
            ConfigError: nobody is logged in, or the service can't be reached.
        """
        import wandb

        identifier = known.get("wandb") or secrets.token_hex(4)
        try:
            self._run = wandb.init(
                project=config.telemetry.wandb.project,
                entity=config.telemetry.wandb.entity,
                name=config.run.name,
                id=identifier,
                resume="allow",
                dir=str(folder),
                config=dict(flat_config(config)),
                settings=wandb.Settings(console="off", silent=True, disable_git=True),
            )
        except wandb.errors.Error as error:
            raise ConfigError(
                f"telemetry.wandb: {' '.join(str(error).split())}; `wandb login`, or set WANDB_MODE=offline and send "
                "the run later by `wandb sync`"
            ) from error
        known.keep("wandb", identifier)

    def log(self, row: Row) -> None:
        step = int(row["step"])
        if step >= self._run.step:
            self._run.log({key: value for key, value in row.items() if key != "step"}, step=step)

    def close(self, status: str) -> None:
        self._run.finish(exit_code=int(status == "failed"))
