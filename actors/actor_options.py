"""What an actor asks of Ray."""

from __future__ import annotations

from typing import TypedDict


class ActorOptions(TypedDict):
    """Keywords of Ray's `.options()`."""

    name: str
    """`museg/<run>/<kind>-<rank>`, so that Ray's dashboard and `ray list actors` read well."""
    num_cpus: float
    num_gpus: float
    runtime_env: dict[str, dict[str, str]]
