"""Updates of a generator whose vision tower is frozen: they don't bring it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import ray
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from actors.faults.watched import as_actor
from actors.generation import INTAKE, GenerationWorker, generation_options
from actors.weight_sync.buckets import pack
from tests.actors.material import largest_gap, noisy_clip, request, run_config

pytestmark = pytest.mark.slow


def _load(folder: Path) -> Qwen2_5_VLForConditionalGeneration:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def test_the_tower_stays_as_it_was_and_is_not_missed(local_ray: None, models: dict[str, Path], tmp_path: Path) -> None:
    config = run_config(models["tied-old"])
    config.run.name, config.policy.freeze_vision = "frozen", True
    worker = as_actor(GenerationWorker, INTAKE).options(**generation_options(config, 0, "frozen")).remote(config, 0)
    trained = [(name, value) for name, value in _load(models["tied-new"]).named_parameters() if ".visual." not in name]

    mixed = _load(models["tied-old"])
    mixed.load_state_dict(dict(trained), strict=False)
    folder = shutil.copytree(models["tied-old"], tmp_path / "mixed")
    mixed.save_pretrained(folder)

    ray.get([worker.begin_weight_update.remote(), worker.load_weight_bucket.remote(pack(trained))], timeout=300)
    ray.get(worker.finish_weight_update.remote(1))
    stream = worker.generate.options(num_returns="streaming").remote([request(0, noisy_clip(3))])
    group = ray.get(next(stream))
    assert largest_gap(folder, group, noisy_clip(3)) <= 1e-4
    assert largest_gap(models["tied-new"], group, noisy_clip(3)) > 0.01

    ray.get([worker.begin_weight_update.remote(), worker.load_weight_bucket.remote(pack(trained[1:]))])
    with pytest.raises(RuntimeError, match=r"version 2 lacks 1 parameters, such as language_model"):
        ray.get(worker.finish_weight_update.remote(2))
    ray.kill(worker)
