"""What a generation worker asks of Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.generation import generation_env, generation_options, placement
from tests.actors.material import run_config


def test_the_worker_is_named_after_the_run_and_reserves_what_is_configured(local_ray: None) -> None:
    config = run_config(Path("unused"))
    config.generation.cpus = 0.5
    config.generation.threads = 3
    options = generation_options(config, 1, "other")
    assert (options["name"], options["num_cpus"], options["num_gpus"]) == ("museg/other/generation-1", 0.5, 0.0)
    environment = options["runtime_env"]["env_vars"]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


@pytest.mark.parametrize(("gpus", "deterministic"), [(True, True), (True, False), (False, True)])
def test_a_deterministic_run_has_batch_invariant_kernels_on_cuda(
    monkeypatch: pytest.MonkeyPatch, gpus: bool, deterministic: bool
) -> None:
    monkeypatch.setattr(placement, "has_gpus", lambda: gpus)
    config = run_config(Path("unused"))
    config.deterministic = deterministic
    assert ("VLLM_BATCH_INVARIANT" in generation_env(config)) == (gpus and deterministic)


def test_the_driver_names_generation_workers_without_loading_vllm_or_transformers() -> None:
    check = (
        "import sys, actors.generation, actors.weight_sync.publisher;"
        "sys.exit(not sys.modules.keys().isdisjoint(['vllm', 'transformers']))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
