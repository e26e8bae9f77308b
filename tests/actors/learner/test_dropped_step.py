from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from actors.rollout.rollouts import Rollout
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from tests.actors.learner.conftest import Batch, Gang, driven, learn

pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("zero_stage", [pytest.param(2, marks=pytest.mark.thorough), 3])
def test_a_checkpoint_after_a_dropped_step_is_that_of_the_step_before(
    local_ray: None, make_config: Callable[..., Config], batch: Batch, tmp_path: Path, zero_stage: int
) -> None:
    config = make_config(ranks=2, zero_stage=zero_stage)
    # One group a micro-batch, and an odd number: a rank waits for the other, which has none, when the step is dropped.
    config = replace(config, learner=replace(config.learner, micro_batch_tokens=1))
    gang = Gang(config)
    rollouts = [
        Rollout(group=group, clip=ray.put(clip), num_prompt_tokens=64)
        for group, clip in zip(batch.groups, batch.clips, strict=True)
    ]

    async def drop_the_second_step() -> None:
        learner = driven(gang)
        await learn(learner, rollouts)
        await learner.save(tmp_path / "before")
        learning = await learner.begin_step(StepTotals.of(batch.groups))
        for rollout in rollouts[:3]:
            learning.add(rollout)
        learner.drop_step()
        async with asyncio.timeout(120):
            await learner.save(tmp_path / "after")

    try:
        asyncio.run(drop_the_second_step())
    finally:
        gang.stop()
    before, after = contents(tmp_path / "before"), contents(tmp_path / "after")
    assert {"hf/model.safetensors", "state/latest"} <= before.keys()
    assert [name for name in before if before[name] != after.get(name)] == []
    assert before.keys() == after.keys()
