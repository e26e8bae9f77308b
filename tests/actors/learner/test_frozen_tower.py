"""Real DeepSpeed ranks that train the language model alone, against a plain torch loop whose tower sees the pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from actors.learner import LearnerWorker
from actors.rollout.rollouts import Rollout
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import grpo_loss
from museg.grpo.variants import loss_settings
from tests.actors.learner.conftest import CALL_TIMEOUT_S, Batch, Gang, Weights, driven, learn
from tests.actors.learner.plain import PlainLearner

pytestmark = pytest.mark.slow

TOWER = "model.visual."


@pytest.fixture(scope="module")
def config(make_config: Callable[..., Config]) -> Config:
    """Two ranks under ZeRO-3, where policy and reference are sharded and groups of unequal number need fillers."""
    config = make_config(ranks=2, zero_stage=3)
    config.policy.freeze_vision = True
    config.learner.micro_batch_tokens = 1
    return config


@pytest.fixture(scope="module")
def gang(config: Config, local_ray: None) -> Iterator[Gang]:
    gang = Gang(config)
    yield gang
    gang.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun:
    """Two steps without DeepSpeed."""

    weights: Weights
    losses: tuple[tuple[float, ...], ...]


@pytest.fixture(scope="module")
def plain_run(config: Config, batch: Batch) -> PlainRun:
    learner = PlainLearner(config, batch)
    learner.policy.model.visual.requires_grad_(False)
    losses = []
    for step in (1, 2):
        totals = StepTotals.of(batch.groups)
        parts = [
            grpo_loss(
                loss_settings(config),
                logprobs=scored.logprobs,
                mask=scored.mask,
                advantages=torch.tensor(group.advantages),
                totals=totals,
                reference_logprobs=start,
            ).loss
            for group, scored, start in zip(batch.groups, learner.scores(), learner.reference_logprobs(), strict=True)
        ]
        learner.apply(torch.stack(parts).sum(), step)
        losses.append(tuple(totals.num_groups * float(part.detach()) for part in parts))
    return PlainRun(weights=learner.weights(), losses=tuple(losses))


def count_tower_calls(worker: LearnerWorker) -> None:
    """From now on."""
    worker.tower_calls = 0  # type: ignore[attr-defined]

    def count(*_: object) -> None:
        worker.tower_calls += 1  # type: ignore[attr-defined]

    worker.engine.module.frozen_tower._module.register_forward_hook(count)


def tower_calls(worker: LearnerWorker) -> int:
    return worker.tower_calls  # type: ignore[attr-defined,no-any-return]


def tower_parameters(worker: LearnerWorker) -> tuple[int, int]:
    """In the modules of policy and reference."""
    names = [name for name, _ in worker.engine.module.named_parameters()]
    of_reference = [name for name, _ in worker.reference.module.named_parameters()]  # type: ignore[union-attr]
    return sum("visual" in name for name in names), sum("visual" in name for name in of_reference)


def test_embedded_once_videos_are_learned_from_without_the_tower_and_saved_with_it(
    gang: Gang, batch: Batch, plain_run: PlainRun, model_folder: Path, tmp_path: Path
) -> None:
    ray.get([rank.__ray_call__.remote(count_tower_calls) for rank in gang.ranks], timeout=CALL_TIMEOUT_S)
    learner = driven(gang)

    async def two_steps() -> list[list[float]]:
        # Three videos for four groups.
        videos = {clip.video: clip for clip in batch.clips}
        refs = await asyncio.gather(*(learner.embed(ray.put(clip)) for clip in videos.values()))
        clips = dict(zip(videos, refs, strict=True))
        rollouts = [
            Rollout(group=group, clip=clips[clip.video], num_prompt_tokens=64)
            for group, clip in zip(batch.groups, batch.clips, strict=True)
        ]
        calls = ray.get([rank.__ray_call__.remote(tower_calls) for rank in gang.ranks], timeout=CALL_TIMEOUT_S)
        # Each video once, spread over the ranks.
        assert sorted(calls) == [1, 2]
        losses = []
        for number in (1, 2):
            # Three groups are two and one: a filler of the second rank's goes along.
            stats, step_stats = await learn(learner, rollouts)
            assert step_stats.step == number
            losses.append([one.loss for one in stats])
        after = ray.get([rank.__ray_call__.remote(tower_calls) for rank in gang.ranks], timeout=CALL_TIMEOUT_S)
        assert after == calls
        return losses

    losses = asyncio.run(two_steps())
    assert losses[0] == pytest.approx(plain_run.losses[0], abs=1e-5)
    assert losses[1] == pytest.approx(plain_run.losses[1], abs=1e-5)
    exported = gang.weights()
    assert not any("visual" in name for name in exported)
    assert ray.get(gang.ranks[0].__ray_call__.remote(tower_parameters)) == (0, 0)
    of_language = {name: value for name, value in plain_run.weights.items() if not name.startswith(TOWER)}
    assert set(exported) == set(of_language)
    assert max(float(np.abs(exported[name] - value).max()) for name, value in of_language.items()) < 1e-5
    gang.on_all("save_hf", tmp_path / "hf")
    saved, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    at_start = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder).state_dict()
    for name, value in saved.state_dict().items():
        expected = at_start[name].numpy() if name.startswith(TOWER) else exported[name]
        assert np.array_equal(value.numpy(), expected)


def test_a_rank_that_waits_for_another_in_its_micro_batch_is_not_asked_to_embed(gang: Gang, batch: Batch) -> None:
    learner = driven(gang)
    totals = StepTotals.of(batch.groups)
    clip = ray.put(batch.clips[0])

    async def embed_while_a_rank_waits() -> None:
        embedded = await learner.embed(clip)
        learning = await learner.begin_step(totals)
        learning.add(Rollout(group=batch.groups[0], clip=embedded, num_prompt_tokens=64))
        # Under ZeRO-3 the first rank can't go on before the second has something to compute.
        await asyncio.sleep(0.5)
        async with asyncio.timeout(30):
            others = await asyncio.gather(*(learner.embed(clip) for _ in range(3)))
        for group in batch.groups[1:]:
            learning.add(Rollout(group=group, clip=others[0], num_prompt_tokens=64))
        stats, _ = await learning.finish()
        assert len(stats) == 4

    asyncio.run(embed_while_a_rank_waits())
