"""KubeRay's definitions, which aren't part of this repository, and the manifests as kubectl builds them."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.kuberay.check import HERE, Manifest, build
from deploy.kuberay.custom_resources import FILES, Definition, read_definitions

BESIDE_THE_CHECKOUT = Path(__file__).parents[4] / "shared" / "data" / "kuberay"

Built = Callable[[str], list[Manifest]]


@functools.cache
def _built(name: str) -> list[Manifest]:
    return build(HERE / name)


@pytest.fixture(scope="session")
def built() -> Built:
    """`built("overlays/kueue")`: what would be applied; not to be changed."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which builds the manifests, isn't installed (Debian: kubernetes-client)")
    return _built


@pytest.fixture(scope="session")
def definitions_folder() -> Path:
    folder = Path(os.environ.get("MUSEG_KUBERAY_DEFINITIONS", BESIDE_THE_CHECKOUT))
    if not all((folder / name).is_file() for name in FILES.values()):
        pytest.skip(f"KubeRay's definitions aren't at {folder}: name their folder in MUSEG_KUBERAY_DEFINITIONS")
    return folder


@pytest.fixture(scope="session")
def definitions(definitions_folder: Path) -> dict[str, Definition]:
    return read_definitions(definitions_folder)
