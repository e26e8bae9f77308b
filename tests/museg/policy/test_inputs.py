from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from museg.errors import DataError, ModelError
from museg.policy.inputs import (
    ENGINE_PROCESSOR_KWARGS,
    PromptEncoder,
    engine_second_per_grid,
    engine_video_input,
    vision_token_ids,
)
from museg.policy.loading import load_policy
from museg.policy.vision import EmbeddedVideo
from museg.video.clip import VideoClip
from tests.museg.policy.material import PROMPT, make_clip


@dataclass(frozen=True)
class EngineInputs:
    token_ids: list[int]
    pixel_values: torch.Tensor
    second_per_grid_s: float
    positions: torch.Tensor


EngineEncode = Callable[[VideoClip | EmbeddedVideo, str], EngineInputs]


@pytest.fixture(scope="module")
def engine_encode(model_folder: Path) -> EngineEncode:
    """What vLLM's own processor and position code make of the prompt and a clip, for a model of the given dtype."""
    from vllm.config import ModelConfig
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as EngineModel
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.inputs import MultiModalFeatureSpec

    def encode(clip: VideoClip | EmbeddedVideo, dtype: str) -> EngineInputs:
        model_config = ModelConfig(
            str(model_folder),
            dtype=dtype,
            enable_mm_embeds=True,
            mm_processor_kwargs=dict(ENGINE_PROCESSOR_KWARGS),
            mm_device_do_normalize=False,
        )
        processor = MULTIMODAL_REGISTRY.create_processor(model_config)
        output = processor(PROMPT, processor.info.parse_mm_data({"video": engine_video_input(clip)}))
        item = output["mm_kwargs"]["video"][0]
        feature = MultiModalFeatureSpec(
            data=item, modality="video", identifier="clip", mm_position=output["mm_placeholders"]["video"][0]
        )
        engine = SimpleNamespace(config=model_config.hf_config)
        engine.iter_mm_grid_thw = lambda features: EngineModel.iter_mm_grid_thw(engine, features)
        positions, _ = EngineModel.get_mrope_input_positions(engine, output["prompt_token_ids"], [feature])
        return EngineInputs(
            token_ids=output["prompt_token_ids"],
            pixel_values=item["video_embeds" if isinstance(clip, EmbeddedVideo) else "pixel_values_videos"].data,
            second_per_grid_s=item["second_per_grid_ts"].data.item(),
            positions=positions,
        )

    return encode


def test_frames_become_patches_without_resizing_or_resampling(encoder: PromptEncoder) -> None:
    clip = make_clip(num_frames=6, height=28, width=56)
    inputs = encoder.encode(PROMPT, clip)
    assert inputs.grid_thw.tolist() == [[3, 2, 4]]
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    normalised = (torch.from_numpy(clip.frames) / 255 - mean) / std
    # Patches come by blocks of 2 x 2: the third patch of a grid step is the lower left one of the first block.
    patch = normalised[2:4, 14:28, 0:14].permute(3, 0, 1, 2).flatten()
    torch.testing.assert_close(inputs.pixel_values[8 + 2], patch, atol=1e-6, rtol=0)


def test_a_prompt_counts_every_token_that_it_takes_of_the_context(encoder: PromptEncoder) -> None:
    inputs = encoder.encode(PROMPT, make_clip(num_frames=8, height=56, width=84))
    text_tokens = len(encoder.tokenizer(PROMPT)["input_ids"]) - 1
    assert inputs.num_tokens == text_tokens + 4 * 2 * 3
    assert inputs.positions.shape == (3, inputs.num_tokens)


@pytest.mark.parametrize("sample_fps", [1.934, 2.0, 3.1])
def test_the_sampled_rate_reaches_the_temporal_positions(encoder: PromptEncoder, sample_fps: float) -> None:
    inputs = encoder.encode(PROMPT, make_clip(num_frames=40, sample_fps=sample_fps, height=28, width=28))
    assert inputs.second_per_grid_s == pytest.approx(2 / sample_fps, rel=1e-7)
    video = inputs.grid_thw.prod().item() // 4
    start = int((inputs.input_ids == encoder.tokenizer.convert_tokens_to_ids("<|video_pad|>")).nonzero()[0])
    temporal = inputs.positions[0, start : start + video] - start
    assert temporal.tolist() == [int(step * 2 * 2 / sample_fps) for step in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("num_frames", "sample_fps", "height", "width"),
    [(2, 2.0, 28, 28), (12, 1.934, 56, 84), (180, 1.934, 28, 56), (24, 3.1, 112, 28), (448, 0.7331, 28, 28)],
)
def test_tokens_pixels_and_positions_equal_those_of_the_engine(
    engine_encode: EngineEncode,
    model_folder: Path,
    num_frames: int,
    sample_fps: float,
    height: int,
    width: int,
    dtype: str,
) -> None:
    clip = make_clip(num_frames, sample_fps, height, width)
    theirs = engine_encode(clip, dtype)
    ours = PromptEncoder.from_folder(model_folder, dtype=getattr(torch, dtype)).encode(PROMPT, clip)
    assert ours.input_ids.tolist() == theirs.token_ids
    assert torch.equal(ours.pixel_values.to(theirs.pixel_values.dtype), theirs.pixel_values)
    assert ours.second_per_grid_s == theirs.second_per_grid_s
    assert torch.equal(ours.positions, theirs.positions)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("num_frames", "sample_fps"), [(12, 1.934), (180, 1.934), (448, 0.7331)])
def test_tokens_embeddings_and_positions_of_a_frozen_tower_equal_those_of_the_engine(
    engine_encode: EngineEncode, model_folder: Path, num_frames: int, sample_fps: float, dtype: str
) -> None:
    torch_dtype = getattr(torch, dtype)
    policy = load_policy(model_folder, dtype=torch_dtype, gradient_checkpointing=False, freeze_vision=True)
    assert policy.frozen_tower is not None
    embedded = policy.frozen_tower.embed(make_clip(num_frames, sample_fps, 28, 56))
    theirs = engine_encode(embedded, dtype)
    ours = PromptEncoder.from_folder(model_folder, dtype=torch_dtype).encode(PROMPT, embedded)
    assert ours.input_ids.tolist() == theirs.token_ids
    assert ours.embeddings is not None
    assert torch.equal(ours.embeddings, theirs.pixel_values)
    assert ours.second_per_grid_s == theirs.second_per_grid_s
    assert torch.equal(ours.positions, theirs.positions)


def test_a_bfloat16_engine_sees_a_coarser_time_scale() -> None:
    assert engine_second_per_grid(2 / 1.934, torch.bfloat16) == 1.03125
    assert engine_second_per_grid(2 / 1.934, torch.float32) == pytest.approx(2 / 1.934, rel=1e-7)


@pytest.mark.parametrize("prompt", ["no video at all", PROMPT + "<|video_pad|>"])
def test_a_prompt_without_exactly_one_video_is_refused(encoder: PromptEncoder, prompt: str) -> None:
    with pytest.raises(DataError, match=r"clip\.mp4 has [02] <\|video_pad\|>"):
        encoder.encode(prompt, make_clip())


def test_the_encoder_of_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="isn't a folder"):
        PromptEncoder.from_folder(tmp_path / "nowhere", dtype=torch.float32)


def test_vision_tokens_are_the_five_placeholders_and_brackets(encoder: PromptEncoder) -> None:
    tokens = {encoder.tokenizer.convert_ids_to_tokens(token_id) for token_id in vision_token_ids(encoder.tokenizer)}
    assert tokens == {"<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"}
