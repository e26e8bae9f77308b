"""The tiny Qwen2.5-VL of the quickstart: about a million parameters, everything else as in the real model."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from museg.errors import ModelError
from museg.tiny_model.tokenizer import CHAT_TEMPLATE, build_tokenizer

INITIALIZER_RANGE = 0.06
"""A model this narrow learns slowly from the usual 0.02."""

MAX_POSITIONS = 4096


def build_tiny_model(output: Path, *, seed: int) -> Path:
    """Write a freshly initialised tiny model with its tokenizer and processor as a Hugging Face folder.

    The folder appears whole or not at all. Raises ModelError if `output` already exists.
    """
    if output.exists():
        raise ModelError(f"{output} already exists: choose another folder for the tiny model or remove this one")
    processor = build_processor()
    model = build_model(processor.tokenizer, seed=seed)
    partial = output.with_name(f".{output.name}.{uuid4().hex}")
    save_model(model, processor, partial)
    os.replace(partial, output)
    return output


def build_model(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Initialise the weights in float32 from `seed`, leaving torch's global generator as it was."""
    config = model_config(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=[tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")],
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def save_model(model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path) -> None:
    """Write weights (safetensors), configuration and processor as transformers and vLLM read them."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def model_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """Qwen2.5-VL's configuration at hidden size 128 with heads of 32, the smallest that vLLM's CPU attention takes.

    The embeddings aren't tied: vLLM's layer-wise reload on CPU leaves a tied head on its old weights.
    """
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": 1e-6,
        "initializer_range": INITIALIZER_RANGE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "out_hidden_size": 128,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "initializer_range": INITIALIZER_RANGE,
    }
    placeholders = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    return Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=False, dtype="float32", **placeholders
    )


def build_processor() -> Qwen2_5_VLProcessor:
    """Qwen2.5-VL's processor (patches of 14 pixels and two frames, merged 2 × 2) around the tiny tokenizer.

    One visual token is the least that a picture may have: the quickstart's frames are 28 × 28 pixels.
    """
    patches = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    size = {"shortest_edge": 28 * 28, "longest_edge": 768 * 28 * 28}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **patches),
        tokenizer=build_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=False, **patches),
        chat_template=CHAT_TEMPLATE,
    )
