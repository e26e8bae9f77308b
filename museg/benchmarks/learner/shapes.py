"""Models of random weights to measure: a small one that a CPU core takes, and the published Qwen2.5-VL's sizes."""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import Qwen2_5_VLConfig

from museg.planning.model_shape import MODEL_SHAPES, ModelShape, TextShape, VisionShape

_VISION_HEAD_DIM = 80
"""Of the published towers."""
_NUM_SPECIAL = 4

_BENCH = ModelShape(
    text=TextShape(
        layers=3, hidden=512, heads=8, kv_heads=2, head_dim=64, intermediate=1536, vocabulary=4096, tied=False
    ),
    vision=VisionShape(
        blocks=2,
        full_blocks=1,
        hidden=240,
        intermediate=480,
        patch_values=MODEL_SHAPES["7b"].vision.patch_values,
        merge=2,
        window=4,
        output=512,
    ),
)
"""Wide enough that arithmetic outweighs Python on one core. On a prompt the tower costs 0.6 of what the text layers
cost, between the published 0.4 (7B) and 0.9 (3B)."""

SHAPES = {"bench": _BENCH, **MODEL_SHAPES}


def model_config(name: str, *, layers: int | None, dtype: torch.dtype) -> Qwen2_5_VLConfig:
    """Configuration of a shape, its special tokens the last of the vocabulary.

    Args:
        name: of one of the SHAPES.
        layers: text layers to keep of the shape's; None keeps all.
        dtype: of the weights.
    """
    text, vision = SHAPES[name].text, SHAPES[name].vision
    if layers is not None:
        text = replace(text, layers=layers)
    return Qwen2_5_VLConfig(
        text_config=_text_config(text),
        vision_config=_vision_config(vision),
        tie_word_embeddings=text.tied,
        dtype=dtype,
        image_token_id=text.vocabulary - 1,
        video_token_id=text.vocabulary - 2,
        vision_start_token_id=text.vocabulary - 3,
        vision_end_token_id=text.vocabulary - _NUM_SPECIAL,
    )


def _text_config(text: TextShape) -> dict[str, object]:
    return {
        "vocab_size": text.vocabulary,
        "hidden_size": text.hidden,
        "intermediate_size": text.intermediate,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            # [16, 24, 24] of the published 128.
            "mrope_section": [text.head_dim // 8, text.head_dim * 3 // 16, text.head_dim * 3 // 16],
        },
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _vision_config(vision: VisionShape) -> dict[str, object]:
    full_step = vision.blocks // vision.full_blocks
    return {
        "depth": vision.blocks,
        "hidden_size": vision.hidden,
        "intermediate_size": vision.intermediate,
        "num_heads": vision.hidden // _VISION_HEAD_DIM,
        "out_hidden_size": vision.output,
        "fullatt_block_indexes": list(range(full_step - 1, vision.blocks, full_step)),
        "window_size": 14 * vision.merge * vision.window,
        "patch_size": 14,
        "spatial_merge_size": vision.merge,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
    }
