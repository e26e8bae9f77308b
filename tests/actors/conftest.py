"""A local Ray and generation workers on it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.actor import ActorHandle

from actors.faults.watched import as_actor
from actors.generation import INTAKE, GenerationWorker, generation_options
from tests.actors.material import run_config, tiny_folder

StartGenerator = Callable[[Path, int], ActorHandle]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """What circles hold stays, so that it can be seen."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def start_generator(local_ray: None) -> StartGenerator:
    def start(model: Path, rank: int) -> ActorHandle:
        config = run_config(model)
        options = generation_options(config, rank, config.run.name)
        return as_actor(GenerationWorker, INTAKE).options(**options).remote(config, rank)

    return start


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models by name: an old and a new one whose head is tied to the embeddings, and two whose head isn't."""
    root = tmp_path_factory.mktemp("models")
    return {
        f"{kind}-{age}": tiny_folder(root / f"{kind}-{age}", seed=seed, tied=kind == "tied")
        for kind in ("tied", "untied")
        for seed, age in enumerate(("old", "new"))
    }
