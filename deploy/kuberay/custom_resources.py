"""RayJob and RayCluster against their definitions: defaults filled in, unknown fields refused, CEL rules evaluated."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import yaml

from deploy.kuberay.problem import Problem

GROUP, VERSION = "ray.io", "v1"
FILES = {"RayJob": "ray.io_rayjobs.yaml", "RayCluster": "ray.io_rayclusters.yaml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a custom resource definition says of one kind."""

    openapi: dict[str, Any]
    validator: jsonschema.Draft202012Validator


def read_definitions(folder: Path) -> dict[str, Definition]:
    """Of every kind that manifests here use.

    Raises:
        FileNotFoundError: a definition isn't in `folder`.
    """
    return {kind: _read(folder / name) for kind, name in FILES.items()}


@functools.cache
def _read(path: Path) -> Definition:
    versions = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]["versions"]
    openapi = next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == VERSION)
    return Definition(openapi=openapi, validator=jsonschema.Draft202012Validator(_strict(openapi)))


def _strict(openapi: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON Schema, where what a definition doesn't name is an error instead of being pruned."""
    schema: dict[str, Any] = {
        key: openapi[key] for key in ("type", "enum", "pattern", "required", "minimum", "maximum") if key in openapi
    }
    if openapi.get("x-kubernetes-int-or-string"):
        schema["type"] = ["integer", "string"]
    if openapi.get("nullable"):
        schema["type"] = [schema["type"], "null"]
    if "items" in openapi:
        schema["items"] = _strict(openapi["items"])
    if "properties" in openapi:
        schema["properties"] = {name: _strict(field) for name, field in openapi["properties"].items()}
        schema["additionalProperties"] = bool(openapi.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(openapi.get("additionalProperties"), dict):
        schema["additionalProperties"] = _strict(openapi["additionalProperties"])
    return schema


def with_defaults(value: Any, openapi: dict[str, Any]) -> Any:
    """A copy of `value` as the API server stores it: absent fields that have a default are there."""
    if isinstance(value, dict) and "properties" in openapi:
        filled = dict(value)
        for name, field in openapi["properties"].items():
            if name not in filled and "default" in field:
                filled[name] = copy.deepcopy(field["default"])
            if name in filled:
                filled[name] = with_defaults(filled[name], field)
        return filled
    if isinstance(value, list) and "items" in openapi:
        return [with_defaults(item, openapi["items"]) for item in value]
    return value


def schema_problems(where: str, stored: dict[str, Any], definition: Definition) -> Iterator[Problem]:
    """Of an object with its defaults filled in."""
    for error in definition.validator.iter_errors(stored):
        field = ".".join(str(step) for step in error.absolute_path)
        yield Problem(where=f"{where} {field}".rstrip(), what=error.message[:300])
    for field, message in _broken_rules(stored, definition.openapi, ""):
        yield Problem(where=f"{where} {field}", what=message)


def _broken_rules(value: Any, openapi: dict[str, Any], field: str) -> Iterator[tuple[str, str]]:
    """The `x-kubernetes-validations` that don't hold; those about a change (`oldSelf`) say nothing of a new object."""
    for rule in openapi.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield field, rule.get("message", rule["rule"])
    if isinstance(value, dict):
        for name, child in openapi.get("properties", {}).items():
            if name in value:
                yield from _broken_rules(value[name], child, f"{field}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _broken_rules(item, openapi.get("items", {}), f"{field}.{index}")


def _holds(rule: str, value: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    return bool(program.evaluate({"self": celpy.json_to_cel(value)}))
