"""The measured policy and a plain transformers model on the same weights."""

from __future__ import annotations

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.benchmarks.learner.material import LearnerWork
from museg.policy.attention import PACKED_GROUP
from museg.policy.model import PackedPolicy


def build_policy(work: LearnerWork) -> PackedPolicy:
    """The learner's own model, with random weights."""
    with torch.random.fork_rng(), torch.device(work.device):
        torch.manual_seed(work.seed)
        policy = PackedPolicy._from_config(
            work.config(), attn_implementation={"": "sdpa", "text_config": PACKED_GROUP, "vision_config": "sdpa"}
        )
    _set_up(policy, work)
    return policy


def plain_twin(policy: PackedPolicy, work: LearnerWork) -> Qwen2_5_VLForConditionalGeneration:
    """Transformers' model with its SDPA attention on the policy's parameters: the same tensors, no copies."""
    with torch.device(work.device):
        twin = Qwen2_5_VLForConditionalGeneration._from_config(work.config(), attn_implementation="sdpa")
    twin.load_state_dict(policy.state_dict(keep_vars=True), assign=True)
    _set_up(twin, work)
    return twin


def _set_up(model: Qwen2_5_VLForConditionalGeneration, work: LearnerWork) -> None:
    if work.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
