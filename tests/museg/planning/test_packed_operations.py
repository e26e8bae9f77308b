"""The learner's own forward and backward, its merged attention and chunked head, counted by torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from museg.planning.model_shape import ModelShape
from museg.planning.operations import GroupShape, VideoGrid, shared_forward, trained
from museg.policy.inputs import PromptEncoder
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.tiny_model import build_tiny_model
from tests.museg.planning.counting import UNKNOWN_OPERATIONS
from tests.museg.policy.material import PROMPT, make_clip

GROUP_SIZE, COMPLETION_TOKENS = 8, 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("packed") / "tiny", seed=0)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_packed_group_takes_the_operations_of_a_shared_prompt(folder: Path, gradient_checkpointing: bool) -> None:
    prompt = PromptEncoder.from_folder(folder, dtype=torch.float32).encode(
        PROMPT, make_clip(num_frames=8, height=140, width=196)
    )
    packed = pack_groups([(prompt, [[10] * COMPLETION_TOKENS] * GROUP_SIZE)])
    policy = load_policy(folder, dtype=torch.float32, gradient_checkpointing=gradient_checkpointing)
    with FlopCounterMode(display=False, custom_mapping=UNKNOWN_OPERATIONS) as counter:
        (scored,) = completion_logprobs(policy, packed, temperature=1.0, forbidden_token_ids=())
        scored.logprobs.sum().backward()
    time, height, width = prompt.grid_thw[0].tolist()
    group = GroupShape(
        prompt_tokens=prompt.num_tokens,
        completion_tokens=COMPLETION_TOKENS,
        group_size=GROUP_SIZE,
        video=VideoGrid(time=time, height=height, width=width),
    )
    shape = ModelShape.from_folder(folder)
    formula = trained(shared_forward(shape, group), shape, gradient_checkpointing=gradient_checkpointing)
    assert formula.total == counter.get_total_flops()
