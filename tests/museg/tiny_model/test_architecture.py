from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLForConditionalGeneration

from museg.errors import ModelError
from museg.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0)


def test_transformers_loads_the_folder_as_a_qwen_of_about_a_million_parameters(folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert isinstance(model, Qwen2_5_VLForConditionalGeneration)
    assert 0.7e6 < sum(weight.numel() for weight in model.parameters()) < 1.3e6
    assert model.get_input_embeddings().weight is not model.lm_head.weight


def test_one_second_at_two_frames_of_28_pixels_is_one_visual_token(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    frames = np.zeros((32, 28, 28, 3), dtype=np.uint8)
    inputs = processor(
        text=["<|vision_start|><|video_pad|><|vision_end|>"],
        videos=[frames],
        do_sample_frames=False,
        do_resize=False,
        video_metadata=[{"fps": 2.0, "total_num_frames": 32}],
        return_tensors="pt",
    )
    assert inputs["video_grid_thw"].tolist() == [[16, 2, 2]]
    assert (inputs["input_ids"] == processor.video_token_id).sum() == 16


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone(folder: Path, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    again = build_tiny_model(tmp_path / "again", seed=0)
    other = build_tiny_model(tmp_path / "other", seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [(path / "model.safetensors").read_bytes() for path in (folder, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_an_existing_folder_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(ModelError, match="already exists"):
        build_tiny_model(folder, seed=0)
