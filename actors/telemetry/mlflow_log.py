"""A run's rows on an MLflow server, or in its file or SQL store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.telemetry.outside import KnownRuns, flat_config
from actors.telemetry.step_log import Row
from museg.config.schema import Config
from museg.errors import ConfigError

_STATUS: Final = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_MAX_PARAMETER: Final = 500
"""Characters of a value that every store takes."""
_MAX_BATCH: Final = 100
"""Parameters that a server takes at once."""


class MlflowLog:
    """One run there, whichever life of the run it is; steps that are there already are left out.

    A server that fails in mid-run costs the steps meanwhile, not the run.
    """

    def __init__(self, config: Config, known: KnownRuns, say: Callable[[str], None]) -> None:
        """Raises ConfigError where the store can't be reached or doesn't know the run any more."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._say = say
        self._failed = False
        try:
            self._client = MlflowClient(tracking_uri=config.telemetry.mlflow.tracking_uri)
            self._id = known.get("mlflow") or self._created(config)
            self._client.set_terminated(self._id, status="RUNNING")
            self._last = max((int(m.value) for m in self._client.get_metric_history(self._id, "step")), default=0)
        except (MlflowException, OSError) as error:
            raise ConfigError(
                f"telemetry.mlflow: {' '.join(str(error).split())}; see to telemetry.mlflow.tracking_uri"
            ) from error
        known.keep("mlflow", self._id)

    def log(self, row: Row) -> None:
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        step, at_ms = int(row["step"]), int(1000 * row["time/unix_s"])
        if step <= self._last:
            return
        metrics = [Metric(key.replace("@", "_at_"), float(value), at_ms, step) for key, value in row.items()]
        try:
            self._client.log_batch(self._id, metrics=metrics)
        except (MlflowException, OSError) as error:
            if not self._failed:
                self._say(f"warning: MLflow doesn't take step {step}: {' '.join(str(error).split())}")
            self._failed = True

    def close(self, status: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_terminated(self._id, status=_STATUS.get(status, "KILLED"))
        except (MlflowException, OSError) as error:
            self._say(f"warning: MLflow doesn't take the run's end: {' '.join(str(error).split())}")

    def _created(self, config: Config) -> str:
        from mlflow.entities import Param

        name = config.telemetry.mlflow.experiment
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name)
        identifier: str = self._client.create_run(experiment_id, run_name=config.run.name).info.run_id
        parameters = [Param(key, str(value)[:_MAX_PARAMETER]) for key, value in flat_config(config).items()]
        for start in range(0, len(parameters), _MAX_BATCH):
            self._client.log_batch(identifier, params=parameters[start : start + _MAX_BATCH])
        return identifier
