"""The authors' annotations, which aren't part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data" / "museg"


def authors_file(name: str) -> Path:
    """A file of theirs, in the folder that MUSEG_ANNOTATIONS names or beside the checkout; without it, skips."""
    path = Path(os.environ.get("MUSEG_ANNOTATIONS", BESIDE_THE_CHECKOUT)) / name
    if not path.is_file():
        pytest.skip(f"the authors' {name} isn't at {path}: name its folder in MUSEG_ANNOTATIONS")
    return path
