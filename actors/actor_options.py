"""What an actor asks of Ray."""

from __future__ import annotations

from typing import TypedDict


class ActorOptions(TypedDict):
    """Keywords of Ray's `.options()`."""

    name: str
    """`museg/<run>/<kind>-<rank>`, so that Ray's dashboard and `ray list actors` read well."""
    num_cpus: float
    num_gpus: float
    label_selector: dict[str, str]
    """Labels of the nodes that it may run on; none: any node, or what its placement group says."""
    runtime_env: dict[str, dict[str, str]]
