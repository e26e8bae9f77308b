"""The learner's logprobs against those of a real vLLM engine that sampled the completions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.policy.inputs import (
    ENGINE_PROCESSOR_KWARGS,
    PromptEncoder,
    PromptInputs,
    engine_video_input,
    vision_token_ids,
)
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.video.clip import VideoClip
from tests.museg.policy.material import PROMPT, make_clip

if TYPE_CHECKING:
    from vllm import LLM

pytestmark = pytest.mark.slow

TEMPERATURE = 0.9
CLIPS = {
    "shortest": (4, 2.0, 28, 28),
    "1.934 fps": (58, 1.934, 28, 56),
    "3.1 fps": (24, 3.1, 56, 84),
    "long and slow": (200, 0.7331, 28, 28),
    "wide": (4, 1.934, 28, 420),
}


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> LLM:
    from vllm import LLM

    return LLM(
        str(model_folder),
        dtype="float32",
        max_model_len=2048,
        max_num_seqs=8,
        enforce_eager=True,
        logprobs_mode="processed_logprobs",
        mm_processor_kwargs=dict(ENGINE_PROCESSOR_KWARGS),
        limit_mm_per_prompt={"image": 0, "video": 1},
        seed=0,
    )


@pytest.fixture(scope="module")
def policy(model_folder: Path) -> Qwen2_5_VLForConditionalGeneration:
    return load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False)


def sample(engine: LLM, clip: VideoClip, forbidden: tuple[int, ...]) -> tuple[list[list[int]], list[list[float]]]:
    """Tokens and logprobs of eight completions."""
    from vllm import SamplingParams

    settings = SamplingParams(
        n=8,
        temperature=TEMPERATURE,
        max_tokens=24,
        ignore_eos=True,
        seed=1,
        logprobs=0,
        logit_bias=dict.fromkeys(forbidden, -100.0),
    )
    request = {"prompt": PROMPT, "multi_modal_data": {"video": engine_video_input(clip)}}
    completions = engine.generate(request, settings, use_tqdm=False)[0].outputs
    logprobs = [
        [entry[token].logprob for token, entry in zip(c.token_ids, c.logprobs, strict=True)] for c in completions
    ]
    return [list(c.token_ids) for c in completions], logprobs


def gaps(
    policy: Qwen2_5_VLForConditionalGeneration,
    inputs: PromptInputs,
    sampled: tuple[list[list[int]], list[list[float]]],
    forbidden: tuple[int, ...],
) -> torch.Tensor:
    """Absolute differences at all sampled tokens."""
    completions, theirs = sampled
    with torch.no_grad():
        [scored] = completion_logprobs(
            policy, pack_groups([(inputs, completions)]), temperature=TEMPERATURE, forbidden_token_ids=forbidden
        )
    return (scored.logprobs[scored.mask] - torch.tensor([value for row in theirs for value in row])).abs()


@pytest.mark.parametrize(("num_frames", "sample_fps", "height", "width"), CLIPS.values(), ids=CLIPS)
def test_sampled_logprobs_equal_the_engines(
    engine: LLM,
    policy: Qwen2_5_VLForConditionalGeneration,
    encoder: PromptEncoder,
    num_frames: int,
    sample_fps: float,
    height: int,
    width: int,
) -> None:
    clip = make_clip(num_frames, sample_fps, height, width)
    forbidden = vision_token_ids(encoder.tokenizer)
    sampled = sample(engine, clip, forbidden)
    assert gaps(policy, encoder.encode(PROMPT, clip), sampled, forbidden).max() <= 1e-4


def test_the_check_fails_with_transformers_own_positions(
    engine: LLM, policy: Qwen2_5_VLForConditionalGeneration, encoder: PromptEncoder
) -> None:
    clip = make_clip(58, 1.934, 28, 56)
    forbidden = vision_token_ids(encoder.tokenizer)
    sampled = sample(engine, clip, forbidden)
    inputs = encoder.encode(PROMPT, clip)
    positions, _ = policy.model.get_rope_index(
        inputs.input_ids[None],
        mm_token_type_ids=torch.where(inputs.input_ids == policy.config.video_token_id, 2, 0)[None],
        video_grid_thw=inputs.grid_thw,
        second_per_grid_ts=torch.tensor([inputs.second_per_grid_s]),
    )
    transformers_inputs = replace(inputs, positions=positions[:, 0], next_position=int(positions[0, 0, -1]) + 1)
    assert gaps(policy, inputs, sampled, forbidden).max() <= 1e-4
    assert gaps(policy, transformers_inputs, sampled, forbidden).mean() > 0.1


def test_the_check_fails_at_another_sampled_rate(
    engine: LLM, policy: Qwen2_5_VLForConditionalGeneration, encoder: PromptEncoder
) -> None:
    clip = make_clip(58, 1.934, 28, 56)
    forbidden = vision_token_ids(encoder.tokenizer)
    sampled = sample(engine, clip, forbidden)
    inputs = encoder.encode(PROMPT, replace(clip, sample_fps=2.0))
    assert gaps(policy, inputs, sampled, forbidden).mean() > 0.1
