"""Tiny models, noisy clips and requests for tests of the actors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from actors.generation import GeneratedGroup, GenerationRequest
from museg.config.choices import DType
from museg.config.schema import Config, DataConfig, GenerationConfig, ModelConfig, RunConfig, SyncConfig
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.rollout.completions import SamplingSettings
from museg.tiny_model.architecture import build_processor, build_tiny_model, model_config, save_model
from museg.video.clip import VideoClip

PROMPT = (
    "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When does it happen?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
TEMPERATURE = 0.9
CONTEXT = 256


def tiny_folder(path: Path, *, seed: int, tied: bool) -> Path:
    """A random tiny model; `tied`: its head is its embeddings, as in the 3B model."""
    if not tied:
        return build_tiny_model(path, seed=seed)
    processor = build_processor()
    config: Qwen2_5_VLConfig = model_config(processor.tokenizer)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_model(Qwen2_5_VLForConditionalGeneration(config), processor, path)
    return path


def run_config(model: Path, *, timeout_s: float = 120.0) -> Config:
    return Config(
        run=RunConfig(name="test"),
        model=ModelConfig(path=str(model), dtype=DType.float32),
        data=DataConfig(train="unused.jsonl"),
        generation=GenerationConfig(max_model_len=CONTEXT, kv_cache_gib=0.125, timeout_s=timeout_s),
        sync=SyncConfig(timeout_s=timeout_s),
    )


def noisy_clip(seed: int, *, num_frames: int = 8, sample_fps: float = 1.934) -> VideoClip:
    rng = np.random.default_rng(seed)
    return VideoClip(
        video=f"noise-{seed}.mp4",
        frames=rng.integers(0, 256, (num_frames, 56, 84, 3), dtype=np.uint8),
        frame_times_s=np.arange(num_frames) / sample_fps,
        sample_fps=sample_fps,
        duration_s=num_frames / sample_fps,
        native_fps=15 * sample_fps,
        num_native_frames=15 * num_frames,
    )


def request(
    key: int, clip: VideoClip, *, num_completions: int = 4, temperature: float = TEMPERATURE, max_tokens: int = 16
) -> GenerationRequest:
    sampling = SamplingSettings(
        num_completions=num_completions, temperature=temperature, top_p=1.0, max_tokens=max_tokens
    )
    return GenerationRequest(key=key, prompt=PROMPT, clip=clip, seed=1000 * (key + 1), sampling=sampling)


def largest_gap(model: Path, group: GeneratedGroup, clip: VideoClip, *, temperature: float = TEMPERATURE) -> float:
    """Largest difference between the group's logprobs and those that the learner gives with a folder's weights."""
    encoder = PromptEncoder.from_folder(model, dtype=torch.float32)
    policy = load_policy(model, dtype=torch.float32, gradient_checkpointing=False)
    packed = pack_groups([(encoder.encode(PROMPT, clip), [c.token_ids for c in group.completions])])
    with torch.no_grad():
        [scored] = completion_logprobs(
            policy, packed, temperature=temperature, forbidden_token_ids=vision_token_ids(encoder.tokenizer)
        )
    sampled = torch.tensor(sampled_logprobs([group]))
    return float((scored.logprobs[scored.mask] - sampled).abs().max())


def sampled_logprobs(groups: Sequence[GeneratedGroup]) -> list[float]:
    return [value for group in groups for completion in group.completions for value in completion.logprobs]
