"""Kubernetes' own kinds against their schemas, unknown fields refused."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate

from deploy.kuberay.problem import Problem

KUBERNETES = "1.37"


def object_problems(manifest: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The first thing that is wrong with it, if any is."""
    if verdict := _verdict(json.dumps(manifest, sort_keys=True)):
        field, what = verdict
        yield Problem(where=f"{where} {field}".rstrip(), what=what)


@functools.lru_cache(maxsize=1024)
def _verdict(manifest: str) -> tuple[str, str] | None:
    """Remembered, as the overlays share most of what they bring and the schemas are slow to read."""
    parsed = json.loads(manifest)
    try:
        kubernetes_validate.validate(parsed, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return ".".join(str(step) for step in error.path), str(error.message)[:300]
    except kubernetes_validate.SchemaNotFoundError:
        return "", f"Kubernetes {KUBERNETES} has no {parsed['kind']} in {parsed['apiVersion']}"
    return None
