import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLProcessor

from actors.benchmarks.material import ModelShape, PromptShape, build_model_folder, make_data, prompt_shape
from museg.config.choices import Template
from museg.data.prompts import chat_prompt, question
from museg.errors import ConfigError
from museg.policy.inputs import PromptEncoder
from museg.tiny_model.architecture import build_processor
from museg.video.clip import VideoClip
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget

WIDE = ModelShape(hidden_size=192, num_layers=3, num_stop_tokens=5)


@pytest.fixture(scope="module")
def processor() -> Qwen2_5_VLProcessor:
    return build_processor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model_folder(tmp_path_factory.mktemp("model") / "wide", WIDE, seed=0)


def decoded(root: Path, video: str, shape: PromptShape) -> VideoClip:
    return decode_clip(
        root / video, video=video, budget=FrameBudget.from_config(shape.video_config(), evaluation=False)
    )


@pytest.mark.parametrize("num_tokens", [97, 130, 200])
def test_a_prompt_has_exactly_the_tokens_asked_for(
    num_tokens: int, folder: Path, processor: Qwen2_5_VLProcessor, tmp_path: Path
) -> None:
    shape = prompt_shape(processor.tokenizer, num_tokens)
    data = make_data(tmp_path / "data", processor, shape, 2, seed=0)
    encoder = PromptEncoder.from_folder(folder, dtype=torch.float32)
    for sample in data.samples:
        clip = decoded(data.video_root, sample.video, shape)
        assert clip.frames.shape == (8, *shape.frame_size, 3)
        prompt = chat_prompt(processor, question(sample, Template.timestamps))
        assert encoder.encode(prompt, clip).num_tokens == num_tokens


def test_videos_differ_and_a_seed_makes_the_same_again(processor: Qwen2_5_VLProcessor, tmp_path: Path) -> None:
    shape = prompt_shape(processor.tokenizer, 97)
    first, again = (make_data(tmp_path / name, processor, shape, 2, seed=3) for name in ("first", "again"))
    one, other = (decoded(first.video_root, sample.video, shape).frames for sample in first.samples)
    assert np.abs(one.astype(int) - other).mean() > 10
    assert np.array_equal(one, decoded(again.video_root, "videos/0.mp4", shape).frames)


def test_a_prompt_too_short_for_a_video_is_refused_with_the_least(processor: Qwen2_5_VLProcessor) -> None:
    with pytest.raises(ConfigError, match=r"--prompt-tokens must be at least \d+ \(got 20\)"):
        prompt_shape(processor.tokenizer, 20)


def test_a_model_has_its_shape_and_stops_at_several_ordinary_tokens(
    folder: Path, processor: Qwen2_5_VLProcessor
) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    assert (text["hidden_size"], text["num_hidden_layers"], text["num_attention_heads"]) == (192, 3, 6)
    stop = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert len(set(stop)) == 2 + WIDE.num_stop_tokens
    assert not set(stop[2:]) & set(processor.tokenizer.all_special_ids)
