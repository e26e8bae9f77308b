"""Services that a run's rows are sent to: whether their packages are there, and which of their runs is this one."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from museg.config.loading import dump_config
from museg.config.schema import Config, TelemetryConfig
from museg.errors import ConfigError
from museg.runs.durable import write_atomically


def require_packages(telemetry: TelemetryConfig) -> None:
    """Raise ConfigError where a service is asked for whose package isn't installed."""
    for name, enabled in (("wandb", telemetry.wandb.enabled), ("mlflow", telemetry.mlflow.enabled)):
        if enabled and importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"telemetry.{name}.enabled is true and the package {name} isn't installed: pip install 'museg[{name}]'"
            )


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """Service → its id of this run, kept in the run directory: a resumed run goes on where it was."""

    file: Path

    def get(self, service: str) -> str | None:
        return self._read().get(service)

    def keep(self, service: str, identifier: str) -> None:
        write_atomically(self.file, json.dumps({**self._read(), service: identifier}, indent=2) + "\n")

    def _read(self) -> dict[str, str]:
        known: dict[str, str] = json.loads(self.file.read_text(encoding="utf-8")) if self.file.is_file() else {}
        return known


def flat_config(config: Config) -> Mapping[str, object]:
    """`section.key` → value."""
    flat: dict[str, object] = {}
    waiting: list[tuple[str, object]] = [("", yaml.safe_load(dump_config(config)))]
    while waiting:
        prefix, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{prefix}.{key}" if prefix else key, inner) for key, inner in value.items()]
        else:
            flat[prefix] = value
    return dict(sorted(flat.items()))
