"""What a generation worker asks of Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from actors.generation import generation_options
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


def test_the_driver_names_generation_workers_without_loading_vllm() -> None:
    check = "import sys, actors.generation, actors.weight_sync.publisher; sys.exit('vllm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
