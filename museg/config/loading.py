"""Read a configuration: YAML file, then `key=value` overrides, checked against the schema before anything starts."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from museg.config.schema import Config, PhaseConfig
from museg.config.validation import validate
from museg.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of `path` with `overrides` (`section.key=value`) applied.

    Raises:
        ConfigError: as `read_config`, or a combination can't be run.
    """
    config = read_config(path, overrides)
    validate(config)
    return config


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration before it is known whether it can be run.

    Raises:
        ConfigError: the file is missing or isn't YAML, a key is unknown (the nearest valid one is named),
            or a value has the wrong type.
    """
    merged = OmegaConf.structured(Config)
    layers = ((str(path), _read_yaml(path)), ("the command line", _read_overrides(overrides)))
    for origin, layer in layers:
        _refuse_unknown_keys(layer, origin)
        try:
            merged = OmegaConf.merge(merged, layer)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{origin}: {_first_line(error)}") from error
    for key in sorted(OmegaConf.missing_keys(merged)):
        where = "phases=[{…}]" if key.startswith("phases[") else f"{key}=…"
        raise ConfigError(f"{path}: {key} has no value; set it in the file or on the command line ({where})")
    config = cast(Config, OmegaConf.to_object(merged))
    if config.phases:
        _count_steps(config, [layer for _, layer in layers])
    return config


def dump_config(config: Config) -> str:
    """The resolved configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _count_steps(config: Config, layers: Sequence[DictConfig]) -> None:
    """Set `grpo.steps` to the sum of the phases' steps, which it may repeat but not contradict beside or over them."""
    total = sum(phase.steps for phase in config.phases)
    since_phases = layers[max(index for index, layer in enumerate(layers) if "phases" in layer) :]
    if any(OmegaConf.select(layer, "grpo.steps") not in (None, total) for layer in since_phases):
        raise ConfigError(
            f"grpo.steps is {config.grpo.steps} and the phases have {total} steps together: "
            "leave grpo.steps out, or change phases[…].steps"
        )
    config.grpo.steps = total


def _read_yaml(path: Path) -> DictConfig:
    if not path.is_file():
        candidates = [str(p) for folder in {path.parent, Path("configs")} for p in folder.glob("*.yaml")]
        raise ConfigError(f"config file '{path}' doesn't exist{_did_you_mean(str(path), candidates)}")
    try:
        layer = OmegaConf.create(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file '{path}' isn't YAML: {_first_line(error)}") from error
    if not isinstance(layer, DictConfig):
        raise ConfigError(
            f"config file '{path}' must hold `section: {{key: value}}` pairs, not a {type(layer).__name__}"
        )
    return layer


def _read_overrides(overrides: Sequence[str]) -> DictConfig:
    for override in overrides:
        if "=" not in override or override.startswith(("=", "-")):
            raise ConfigError(f"override '{override}' isn't of the form section.key=value, such as grpo.steps=50")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"override can't be read: {_first_line(error)}") from error


def _refuse_unknown_keys(layer: DictConfig, origin: str) -> None:
    valid = set(_schema_keys(Config))
    sections = {key.rpartition(".")[0] for key in valid}
    plain = OmegaConf.to_container(layer)
    for key, value in _layer_items(cast(Mapping[str, object], plain), sections):
        if key not in valid:
            # `group_size` without its section has one answer; `grpo.group_sise` the nearest.
            by_name = [name for name in valid if name.rpartition(".")[2] == key.rpartition(".")[2]]
            raise ConfigError(
                f"{origin}: unknown key '{key}'{_did_you_mean(key, by_name or sorted(valid), bool(by_name))}"
            )
        if key in sections and not isinstance(value, Mapping):
            raise ConfigError(
                f"{origin}: {key} is a section of keys (such as {_first_key_of(key, valid)}), not {value!r}"
            )
        if key == "phases":
            _refuse_unknown_phase_keys(value, origin)


def _refuse_unknown_phase_keys(phases: object, origin: str) -> None:
    valid = [entry.name for entry in dataclasses.fields(PhaseConfig)]
    if not isinstance(phases, list):
        raise ConfigError(
            f"{origin}: phases is a list of sections (such as [{{name: stage_1, steps: 400}}]), not {phases!r}"
        )
    for index, phase in enumerate(phases):
        if not isinstance(phase, Mapping):
            raise ConfigError(f"{origin}: phases[{index}] is a section of keys (such as name, steps), not {phase!r}")
        for key in phase:
            if key not in valid:
                raise ConfigError(f"{origin}: unknown key '{key}' in phases[{index}]{_did_you_mean(str(key), valid)}")


def _schema_keys(schema: type, prefix: str = "") -> Iterator[str]:
    defaults = schema()
    for entry in dataclasses.fields(schema):
        yield prefix + entry.name
        value = getattr(defaults, entry.name)
        if dataclasses.is_dataclass(value):
            yield from _schema_keys(type(value), f"{prefix}{entry.name}.")


def _layer_items(layer: Mapping[str, object], sections: set[str], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in layer.items():
        key = f"{prefix}{name}"
        yield key, value
        if isinstance(value, Mapping) and key in sections:
            yield from _layer_items(value, sections, f"{key}.")


def _first_key_of(section: str, valid: set[str]) -> str:
    return min(key for key in valid if key.startswith(f"{section}."))


def _did_you_mean(word: str, candidates: Sequence[str], certain: bool = False) -> str:
    close = list(candidates)[:1] if certain else difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    location = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        location = f"line {mark.line + 1}"
    message = lines[0] if lines else type(error).__name__
    return f"{location}: {message}" if location and not message.startswith(location) else message
