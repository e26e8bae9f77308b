"""Sampling seeds that depend on what is sampled, never on the attempt, the worker or the time."""

from __future__ import annotations

import hashlib


def sampling_seed(run_seed: int, sample_idx: int, weights_version: int) -> int:
    """A 31-bit seed for the G completions of one sample at one weights version.

    The engine derives the seed of completion g from it, so a group that is sampled again is the same.
    """
    digest = hashlib.sha256(f"{run_seed}/{sample_idx}/{weights_version}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
