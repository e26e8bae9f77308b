"""What the check of manifests finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that Kubernetes, the KubeRay operator or the run would refuse or stumble over."""

    where: str
    """`RayJob/museg spec.backoffLimit`: the object and the field."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
