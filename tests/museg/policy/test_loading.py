from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from museg.errors import ModelError
from museg.policy.attention import PACKED_GROUP
from museg.policy.loading import check_model_folder, load_policy


@pytest.fixture
def broken(model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "model")


def test_text_attention_is_packed_and_the_tower_keeps_sdpa(model_folder: Path) -> None:
    model = load_policy(model_folder, dtype=torch.bfloat16, gradient_checkpointing=True)
    assert model.config.text_config._attn_implementation == PACKED_GROUP
    assert model.config.vision_config._attn_implementation == "sdpa"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.training
    assert model.model.language_model.gradient_checkpointing
    assert model.model.visual.gradient_checkpointing


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere isn't a folder"):
        load_policy(tmp_path / "nowhere", dtype=torch.float32, gradient_checkpointing=False)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("config.json", r"has no config\.json"),
        ("*.safetensors", r"has no \*\.safetensors weights"),
        ("*processor*.json", "has no processor"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused_by_what_it_lacks(broken: Path, pattern: str, message: str) -> None:
    for file in broken.glob(pattern):
        file.unlink()
    with pytest.raises(ModelError, match=message):
        check_model_folder(broken)


def test_another_architecture_is_refused_by_name(broken: Path) -> None:
    (broken / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    with pytest.raises(ModelError, match="model_type 'qwen3_vl': only 'qwen2_5_vl' can be trained"):
        check_model_folder(broken)


def test_a_garbled_configuration_is_refused(broken: Path) -> None:
    (broken / "config.json").write_text("{")
    with pytest.raises(ModelError, match="isn't JSON"):
        check_model_folder(broken)
