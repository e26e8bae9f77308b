"""The configuration of a command that asks a model: a file's, or a run's with its newest checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from museg.errors import ConfigError

if TYPE_CHECKING:
    from museg.config.schema import Config


def config_from(run_dir: Path | None, files: Sequence[str], overrides: Sequence[str]) -> Config:
    """The run's or the only file's, overridden. Raises ConfigError for a mistake in any of them.

    `model.path` is a run's newest checkpoint, unless overridden. The caller has seen that there is one of both.
    """
    # The other commands needn't wait for it.
    from museg.config.loading import load_config

    if run_dir is None:
        return load_config(Path(files[0]), overrides)
    from museg.runs.directory import RunDirectory

    run = RunDirectory(run_dir)
    if not run.config_file.is_file():
        raise ConfigError(f"--run {run_dir} isn't a run directory: it has no config.yaml")
    steps = run.checkpoint_steps()
    if not steps and not any(word.startswith("model.path=") for word in overrides):
        raise ConfigError(f"--run {run_dir} has no checkpoint yet: wait for one, or name a model by model.path=…")
    newest = [f"model.path={run.checkpoint(step) / 'hf'}" for step in steps[-1:]]
    return load_config(run.config_file, [*newest, *overrides])


def model_name(model_path: str) -> str:
    """What a folder for a model's answers is called: a checkpoint's step, or the model folder's own name."""
    model = Path(model_path).absolute()
    return model.parent.name if model.name == "hf" else model.name
