"""A tiny model whose answers depend on positions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from museg.policy.inputs import PromptEncoder
from museg.tiny_model import build_tiny_model

# vLLM reads them when it is first imported.
os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny model with sharper attention, since at its own scale positions hardly matter, and a processor that
    would enlarge the tests' small frames, as that of a real Qwen2.5-VL would."""
    folder = tmp_path_factory.mktemp("policy")
    blunt = build_tiny_model(folder / "blunt", seed=0)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(blunt)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.q_proj.weight *= 2.0
            layer.self_attn.k_proj.weight *= 2.0
        model.lm_head.weight *= 2.0
    model.save_pretrained(folder / "sharp")
    processor = Qwen2_5_VLProcessor.from_pretrained(blunt)
    processor.video_processor.size = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
    processor.save_pretrained(folder / "sharp")
    return folder / "sharp"


@pytest.fixture(scope="session")
def encoder(model_folder: Path) -> PromptEncoder:
    return PromptEncoder.from_folder(model_folder, dtype=torch.float32)
