"""Memory against sizes that are known: DeepSpeed's bytes a parameter, autograd's saved tensors, vLLM's KV blocks."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2_5_VLConfig

from museg.planning.gpus import GPUS
from museg.planning.memory import generator_memory, learner_memory
from museg.planning.model_shape import MODEL_SHAPES
from tests.museg.planning.counting import CountedModel
from tests.museg.planning.material import stage_1
from tests.museg.planning.test_operations import ROW, middle

PARAMETERS = MODEL_SHAPES["7b"].parameters


@pytest.mark.parametrize(("stage", "bytes_per_parameter"), [(0, 18.0), (1, 6 + 12 / 7), (2, 2 + 16 / 7), (3, 18 / 7)])
def test_states_are_sharded_by_stage(stage: int, bytes_per_parameter: float) -> None:
    memory = learner_memory(stage_1(f"learner.zero_stage={stage}"))
    states = memory.weights + memory.gradients + memory.optimizer
    assert states == pytest.approx(PARAMETERS * bytes_per_parameter)


def test_a_reference_is_sharded_under_zero_3_alone() -> None:
    assert learner_memory(stage_1()).reference == pytest.approx(PARAMETERS * 2 / 7)
    assert learner_memory(stage_1("learner.zero_stage=2")).reference == PARAMETERS * 2
    assert learner_memory(stage_1("grpo.kl_beta=0")).reference == 0


def test_a_frozen_tower_is_whole_and_has_no_states() -> None:
    memory, shape = learner_memory(stage_1("policy.freeze_vision=true")), MODEL_SHAPES["7b"]
    assert memory.tower == shape.vision.parameters * 2
    assert memory.optimizer == pytest.approx(12 * shape.text.parameters / 7)


def test_checkpoints_of_one_published_group() -> None:
    memory = learner_memory(stage_1("learner.micro_batch_tokens=1"))
    assert memory.activations / 1e9 == pytest.approx(1.16 + 1.17, rel=0.02)  # language model, tower


def _saved_bytes(config: Qwen2_5_VLConfig) -> int:
    """Of the tensors that autograd keeps between forward and backward, weights aside."""
    model = CountedModel(config)
    model.model.to(torch.bfloat16)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.logits(ROW)
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)


def test_without_checkpointing_a_layer_keeps_what_autograd_saves() -> None:
    base, deeper, taller = middle(), middle(), middle()
    deeper.text_config.num_hidden_layers += 1
    deeper.text_config.layer_types = ["full_attention"] * deeper.text_config.num_hidden_layers
    taller.vision_config.depth += 1
    text, vision = base.text_config, base.vision_config
    layer, block = (_saved_bytes(more) - _saved_bytes(base) for more in (deeper, taller))
    tokens, key_values = 260, text.hidden_size // text.num_attention_heads
    per_token = 4 * text.intermediate_size + 8 * text.hidden_size + 2 * (text.hidden_size + key_values)
    assert layer == pytest.approx(2 * tokens * per_token, rel=0.01)
    per_patch = 4 * vision.intermediate_size + 15 * vision.hidden_size
    assert block == pytest.approx(2 * ROW.video.patches * per_patch, rel=0.01)


def test_a_typical_groups_keys_and_values_share_the_prompt() -> None:
    memory = generator_memory(stage_1(), GPUS["a100-80"])
    assert memory.kv_typical_group == 57_344 * (3734 + 8 * 256)
    assert memory.total == pytest.approx(0.9 * 80e9)
    assert memory.kv_group > memory.kv_typical_group


def test_gpus_of_one_worker_share_weights_and_heads() -> None:
    one, two = (
        generator_memory(stage_1(f"generation.tensor_parallel_size={size}"), GPUS["a100-80"]) for size in (1, 2)
    )
    assert (two.weights, two.kv_typical_group) == (one.weights / 2, one.kv_typical_group / 2)
