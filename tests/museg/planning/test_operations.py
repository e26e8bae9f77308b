"""Formulas against what torch counts, and against the worked figures of a 7B and a 3B model.

The counter gets formulas for CPU's attention kernel (tests/museg/planning/counting.py), causal where the kernel is; the
model's own attention is SDPA here, one row at a time.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from transformers import Qwen2_5_VLConfig

from museg.config.choices import DType
from museg.planning.gpus import GPUS
from museg.planning.model_shape import MODEL_SHAPES, ModelShape
from museg.planning.operations import (
    GroupShape,
    VideoGrid,
    decode_bytes,
    learner_limit,
    prefill,
    repeated_forward,
    shared_forward,
    trained,
)
from museg.tiny_model.architecture import model_config
from museg.tiny_model.tokenizer import build_tokenizer
from tests.museg.planning.counting import CountedModel

ROW = GroupShape(prompt_tokens=230, completion_tokens=30, group_size=1, video=VideoGrid(time=3, height=12, width=20))
"""Windows of the tower are cut at the right and at the bottom."""
PUBLISHED = GroupShape(
    prompt_tokens=3734, completion_tokens=256, group_size=8, video=VideoGrid(time=16, height=28, width=32)
)
"""3,584 visual tokens."""


def tiny() -> Qwen2_5_VLConfig:
    return model_config(build_tokenizer())


def middle() -> Qwen2_5_VLConfig:
    """In the proportions of the 7B model: wide layers, few key-value heads."""
    config = copy.deepcopy(tiny())
    text = {"hidden_size": 448, "intermediate_size": 2368, "num_hidden_layers": 3, "num_attention_heads": 7}
    vision = {"depth": 4, "hidden_size": 160, "intermediate_size": 428, "num_heads": 5, "out_hidden_size": 448}
    for section, values in ((config.text_config, {**text, "num_key_value_heads": 1}), (config.vision_config, vision)):
        for name, value in values.items():
            setattr(section, name, value)
    config.text_config.rope_parameters["mrope_section"] = [8, 12, 12]
    return config


@pytest.mark.parametrize("config", [tiny(), middle()], ids=["tiny", "middle"])
def test_each_part_of_a_forward_is_what_torch_counts(config: Qwen2_5_VLConfig) -> None:
    counted, formula = CountedModel(config).forward(ROW), shared_forward(ModelShape.of(config), ROW)
    assert formula.patches == counted["model.visual.patch_embed"]
    blocks = sum(counted[f"model.visual.blocks.{index}"] for index in range(config.vision_config.depth))
    assert formula.tower_linear + formula.tower_attention == blocks
    assert formula.merger == counted["model.visual.merger"]
    assert formula.text == counted["model.language_model"]
    assert formula.logits == counted["lm_head"]


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("config", [tiny(), middle()], ids=["tiny", "middle"])
def test_forward_and_backward_are_within_5_per_cent_of_what_torch_counts(
    config: Qwen2_5_VLConfig, gradient_checkpointing: bool
) -> None:
    model = CountedModel(config, gradient_checkpointing=gradient_checkpointing)
    formula = trained(shared_forward(model.shape, ROW), model.shape, gradient_checkpointing=gradient_checkpointing)
    assert formula.total == pytest.approx(model.trained(ROW), rel=0.05)
    # All that differs is that this test scores logits at once, not in chunks that are computed twice.
    assert formula.total - formula.logits / 4 == model.trained(ROW)


def test_parameters_are_the_models() -> None:
    model = CountedModel(middle())
    assert model.shape.parameters == model.model.num_parameters()
    assert model.shape.vision.parameters == model.model.model.visual.num_parameters()
    tied = copy.deepcopy(middle())
    tied.tie_word_embeddings = True
    assert ModelShape.of(tied).parameters == CountedModel(tied).model.num_parameters()


@pytest.mark.parametrize(
    ("name", "completion_tokens", "repeated", "shared", "prefilled"),
    [("7b", 256, 595, 102, 70), ("7b", 512, 627, 135, 70), ("3b", 256, 347, 57, 42), ("3b", 512, 362, 72, 42)],
)
def test_forwards_of_the_published_step_in_tera_operations(
    name: str, completion_tokens: int, repeated: float, shared: float, prefilled: float
) -> None:
    model, group = MODEL_SHAPES[name], replace(PUBLISHED, completion_tokens=completion_tokens)
    assert repeated_forward(model, group).total / 1e12 == pytest.approx(repeated, rel=0.02)
    assert shared_forward(model, group).total / 1e12 == pytest.approx(shared, rel=0.02)
    assert prefill(model, group).total / 1e12 == pytest.approx(prefilled, rel=0.02)


@pytest.mark.parametrize(
    ("name", "gpu", "completion_tokens", "repeated_s", "shared_s"),
    [
        ("7b", "a100-80", 256, 53.2, 11.8),
        ("7b", "a100-80", 512, 59.1, 17.7),
        ("7b", "h200", 256, 17.2, 4.1),
        ("7b", "h200", 512, 19.4, 6.4),
        ("3b", "a100-80", 256, 30.7, 6.3),
        ("3b", "a100-80", 512, 33.5, 9.0),
    ],
)
def test_the_published_step_on_8_gpus_that_share_all_work(
    name: str, gpu: str, completion_tokens: int, repeated_s: float, shared_s: float
) -> None:
    """Seconds of 14 groups at 40% of peak and 60% of bandwidth, a checkpointed policy taken for four forwards."""
    model, group, device = MODEL_SHAPES[name], replace(PUBLISHED, completion_tokens=completion_tokens), GPUS[gpu]
    context = group.prompt_tokens + completion_tokens / 2
    read = completion_tokens * decode_bytes(model.text, sequences=14, context=context, bytes_per_value=2)
    rate = 8 * 0.4 * device.peak(DType.bfloat16)
    for forward, prefilled, seconds in (
        (repeated_forward(model, group).total, 8 * prefill(model, group).total, repeated_s),
        (shared_forward(model, group).total, prefill(model, group).total, shared_s),
    ):
        computed = 14 * (5 * forward + prefilled) / rate + read / (0.6e9 * device.memory_gb_per_s)
        assert computed == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(("group_size", "limit"), [(2, 1.90), (4, 3.44), (8, 5.81), (16, 8.84)])
def test_the_limit_of_the_7b_learner(group_size: int, limit: float) -> None:
    shape = MODEL_SHAPES["7b"]
    config = Qwen2_5_VLConfig(
        text_config={
            "num_hidden_layers": shape.text.layers,
            "hidden_size": shape.text.hidden,
            "num_attention_heads": shape.text.heads,
            "num_key_value_heads": shape.text.kv_heads,
            "intermediate_size": shape.text.intermediate,
            "vocab_size": shape.text.vocabulary,
        },
        vision_config={"out_hidden_size": shape.text.hidden, "hidden_size": 1280, "intermediate_size": 3420},
        tie_word_embeddings=False,
    )
    assert ModelShape.of(config) == shape
    limits = [
        learner_limit(
            config,
            prompt_tokens=3734,
            completion_tokens=256,
            group_size=group_size,
            video=PUBLISHED.video,
            gradient_checkpointing=gradient_checkpointing,
        )
        for gradient_checkpointing in (False, True)
    ]
    assert limits == pytest.approx([limit, limit], rel=0.02)


def test_a_frozen_tower_leaves_the_language_model_alone() -> None:
    model, group = ModelShape.of(tiny()), replace(ROW, group_size=8)
    repeated, shared = (
        trained(way(model, group), model, gradient_checkpointing=False) for way in (repeated_forward, shared_forward)
    )
    limit = learner_limit(
        tiny(), prompt_tokens=230, completion_tokens=30, group_size=8, video=ROW.video, freeze_vision=True
    )
    assert limit == pytest.approx(repeated.total / (shared.text + shared.logits))
