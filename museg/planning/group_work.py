"""All operations that one group takes in a step, on every side."""

from __future__ import annotations

from dataclasses import dataclass

from museg.planning.operations import Operations, prefill, repeated_forward, shared_forward, tower_forward, trained
from museg.planning.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWork:
    """Operations of one group by what they are for."""

    embedding: Operations
    """A frozen tower's one forward for policy, reference and generator."""
    policy: Operations
    """Forward and backward, for every update."""
    reference: Operations
    prefill: Operations

    @property
    def total(self) -> float:
        return self.embedding.total + self.policy.total + self.reference.total + self.prefill.total


def shared_work(work: Workload) -> GroupWork:
    """What this code does: prompt and video once, on each side that computes them."""
    model, group, config = work.model, work.group, work.config
    forward, prompt, embedding = shared_forward(model, group), prefill(model, group), Operations()
    if config.policy.freeze_vision:
        embedding = tower_forward(model.vision, group.video)
        forward, prompt = forward.without_tower(), prompt.without_tower()
    return GroupWork(
        embedding=embedding,
        policy=_policy(work, forward),
        reference=forward if work.has_reference else Operations(),
        prefill=prompt,
    )


def repeated_work(work: Workload) -> GroupWork:
    """The naive way: prompt and video anew for every completion, on all sides."""
    forward = repeated_forward(work.model, work.group)
    return GroupWork(
        embedding=Operations(),
        policy=_policy(work, forward),
        reference=forward if work.has_reference else Operations(),
        prefill=prefill(work.model, work.group).times(work.group.group_size),
    )


def _policy(work: Workload, forward: Operations) -> Operations:
    checkpointing = work.config.learner.gradient_checkpointing
    once = trained(forward, work.model, gradient_checkpointing=checkpointing)
    return once.times(work.config.grpo.updates_per_rollout)
