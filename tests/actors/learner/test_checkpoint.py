from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from actors.learner.checkpoint import save_hf
from museg.policy.loading import load_policy


@pytest.fixture
def unsharded_engine(model_folder: Path) -> SimpleNamespace:
    """What `save_hf` asks of an engine below ZeRO-3; the real one is in test_worker.py."""
    model = load_policy(model_folder, dtype=torch.bfloat16, gradient_checkpointing=False)
    return SimpleNamespace(module=model, zero_optimization_stage=lambda: 0)


def test_a_large_model_is_written_in_shards_that_load_in_the_models_own_dtype(
    unsharded_engine: SimpleNamespace, model_folder: Path, tmp_path: Path
) -> None:
    save_hf(unsharded_engine, model_folder, tmp_path / "hf", writes=True, shard_bytes=1024**2)
    files = sorted(file.name for file in (tmp_path / "hf").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "hf", dtype="auto")
    for name, value in unsharded_engine.module.state_dict().items():
        assert loaded.state_dict()[name].dtype is torch.bfloat16
        assert torch.equal(loaded.state_dict()[name], value)


def test_everything_but_weights_comes_from_the_folder_that_the_run_started_from(
    unsharded_engine: SimpleNamespace, model_folder: Path, tmp_path: Path
) -> None:
    save_hf(unsharded_engine, model_folder, tmp_path / "hf", writes=True)
    assert {file.name for file in (tmp_path / "hf").iterdir()} == {file.name for file in model_folder.iterdir()}
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["dtype"] == "bfloat16"
    tokenizer = "tokenizer.json"
    assert (tmp_path / "hf" / tokenizer).read_bytes() == (model_folder / tokenizer).read_bytes()


def test_a_rank_that_does_not_write_leaves_no_file(
    unsharded_engine: SimpleNamespace, model_folder: Path, tmp_path: Path
) -> None:
    save_hf(unsharded_engine, model_folder, tmp_path / "hf", writes=False)
    assert not (tmp_path / "hf").exists()
