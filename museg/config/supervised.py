"""A supervised run's configuration, in the keys that GRPO's rooms read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from museg.config.loading import read_config
from museg.config.schema import Config, GRPOConfig
from museg.config.validation import validate
from museg.errors import ConfigError


def load_supervised_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of `path` with `overrides`, as `as_supervised` gives it. Raises what `load_config` does."""
    config = read_config(path, overrides)
    for complaint in _complaints(config):
        raise ConfigError(complaint)
    supervised = as_supervised(config)
    validate(supervised)
    return supervised


def as_supervised(config: Config) -> Config:
    """`sft.steps` and `sft.batch_size` in the place of GRPO's, which schedule and batches are counted by; no reference.

    Everything else of `grpo` is left at its default, for a supervised run doesn't read it.
    """
    sft = config.sft
    return replace(config, grpo=GRPOConfig(steps=sft.steps, prompts_per_step=sft.batch_size, kl_beta=0.0))


def _complaints(config: Config) -> Iterator[str]:
    if config.phases:
        yield "phases are for `museg train`: give `museg sft` a configuration without them (phases=[])"
    for key, value in (("sft.steps", config.sft.steps), ("sft.batch_size", config.sft.batch_size)):
        if value < 1:
            yield f"{key} must be at least 1 (got {value})"
    if config.learner.ranks > config.sft.batch_size:
        yield (
            f"learner.ranks ({config.learner.ranks}) must not exceed sft.batch_size ({config.sft.batch_size}): "
            "a rank without a sample would idle"
        )
