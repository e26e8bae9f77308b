"""Supervised steps of real DeepSpeed ranks against a plain torch loop over the same demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import torch
from transformers import AutoTokenizer

from actors.learner.schedule import learning_rate
from actors.learner.stats import DemonstrationStats, SkipReason, StepStats
from actors.supervised.lesson import Lesson
from museg.config.schema import Config
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.sft.demonstrations import Demonstration
from museg.sft.loss import supervised_loss
from museg.video.clip import VideoClip
from tests.actors.learner.conftest import Batch, Gang, Weights, at_start, driven, largest_difference, running_from

pytestmark = pytest.mark.slow

ANSWERS = ("Nothing.", "<answer>1.0-2.5</answer>", "<think>From 2.0 on.</think><answer>2.0-6.0 7.0-9.0</answer>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The demonstrations of one step, of unequal length, and their videos."""

    demonstrations: tuple[Demonstration, ...]
    clips: tuple[VideoClip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun:
    """Three steps without DeepSpeed."""

    weights: Weights
    losses: tuple[tuple[float, ...], ...]
    grad_norms: tuple[float, ...]


@pytest.fixture(scope="module")
def material(batch: Batch, model_folder: Path) -> Material:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    demonstrations = tuple(
        Demonstration(
            idx=index,
            video=batch.clips[index].video,
            prompt=batch.groups[index].prompt,
            target_ids=tuple(tokenizer.encode(f"{answer}<|im_end|>")),
        )
        for index, answer in enumerate(ANSWERS)
    )
    return Material(demonstrations=demonstrations, clips=batch.clips[: len(ANSWERS)])


@pytest.fixture(scope="module")
def make_supervised(make_config: Callable[..., Config]) -> Callable[..., Config]:
    def make(*, ranks: int, zero_stage: int) -> Config:
        config = make_config(ranks=ranks, zero_stage=zero_stage)
        config.grpo.kl_beta = 0.0
        return config

    return make


@pytest.fixture(scope="module")
def plain_run(make_supervised: Callable[..., Config], material: Material) -> PlainRun:
    config = make_supervised(ranks=1, zero_stage=0)
    folder = Path(config.model.path)
    encoder = PromptEncoder.from_folder(folder, dtype=torch.float32)
    forbidden = vision_token_ids(encoder.tokenizer)
    policy = load_policy(folder, dtype=torch.float32, gradient_checkpointing=False)
    optimizer = torch.optim.AdamW(policy.parameters(), betas=config.learner.betas, weight_decay=0.0)
    packed_targets = [
        pack_groups([(encoder.encode(demonstration.prompt, clip), [demonstration.target_ids])])
        for demonstration, clip in zip(material.demonstrations, material.clips, strict=True)
    ]
    losses, norms = [], []
    for step in (1, 2, 3):
        step_losses = []
        for packed in packed_targets:
            [scored] = completion_logprobs(policy, packed, temperature=1.0, forbidden_token_ids=forbidden)
            step_losses.append(supervised_loss(scored.logprobs, scored.mask))
        torch.stack(step_losses).mean().backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(policy.parameters(), config.learner.max_grad_norm)))
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate(config.learner, step, config.grpo.steps)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(tuple(float(loss.detach()) for loss in step_losses))
    weights = {name: parameter.detach().numpy() for name, parameter in policy.named_parameters()}
    return PlainRun(weights=weights, losses=tuple(losses), grad_norms=tuple(norms))


@pytest.fixture(scope="module", params=[(1, 0), (2, 2)], ids=lambda p: f"{p[0]}-ranks-zero-{p[1]}")
def running_gang(
    request: pytest.FixtureRequest,
    local_ray: None,
    make_supervised: Callable[..., Config],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Gang, Path]]:
    ranks, zero_stage = request.param
    yield from running_from(make_supervised(ranks=ranks, zero_stage=zero_stage), tmp_path_factory.mktemp("start"))


@pytest.fixture
def gang(running_gang: tuple[Gang, Path]) -> Gang:
    return at_start(*running_gang)


def learn(gang: Gang, material: Material) -> tuple[list[DemonstrationStats], StepStats]:
    """One step as the supervised trainer asks for it: three demonstrations, so two ranks have unequal shares."""
    lessons = [
        Lesson(demonstration=demonstration, clip=ray.put(clip), num_prompt_tokens=64)
        for demonstration, clip in zip(material.demonstrations, material.clips, strict=True)
    ]

    async def step() -> tuple[list[DemonstrationStats], StepStats]:
        return await driven(gang).learn_supervised(lessons)

    return asyncio.run(step())


@pytest.mark.parametrize(
    ("micro_batch_tokens", "bound"),
    # Packed together they are rounded otherwise, and Adam makes whole steps of the smallest gradients.
    [(1, 1e-6), (16_384, 1e-4)],
    ids=["each-alone", "packed"],
)
def test_three_supervised_steps_give_the_weights_of_a_plain_torch_loop(
    gang: Gang, material: Material, plain_run: PlainRun, micro_batch_tokens: int, bound: float
) -> None:
    gang.config.learner.micro_batch_tokens = micro_batch_tokens
    start = gang.weights()
    for step in (1, 2, 3):
        stats, step_stats = learn(gang, material)
        assert [one.loss for one in stats] == pytest.approx(plain_run.losses[step - 1], abs=1e-5)
        assert [one.num_tokens for one in stats] == [len(one.target_ids) for one in material.demonstrations]
        assert step_stats.grad_norm == pytest.approx(plain_run.grad_norms[step - 1], rel=1e-4)
        assert step_stats.lr == pytest.approx(1e-3 * (21 - step) / 20)
    assert largest_difference(start, plain_run.weights) > 1e-3, "nothing was learned: the comparison would be empty"
    assert largest_difference(gang.weights(), plain_run.weights) < bound


def test_a_resumed_supervised_learner_goes_on_bit_for_bit(gang: Gang, material: Material, tmp_path: Path) -> None:
    learn(gang, material)
    gang.on_all("save_state", tmp_path / "state")
    uninterrupted = [learn(gang, material) for _ in range(2)]
    weights = gang.weights()
    gang.on_all("load_state", tmp_path / "state")
    resumed = [learn(gang, material) for _ in range(2)]
    assert [stats for stats, _ in resumed] == [stats for stats, _ in uninterrupted]
    assert largest_difference(gang.weights(), weights) == 0.0


def test_a_target_that_cannot_be_sampled_leaves_no_trace(gang: Gang, material: Material) -> None:
    forbidden = vision_token_ids(AutoTokenizer.from_pretrained(gang.config.model.path))
    impossible = Demonstration(idx=5, video="b.mp4", prompt=material.demonstrations[0].prompt, target_ids=forbidden[:1])
    calls = [rank.accumulate_supervised.remote([impossible], [material.clips[0]], 1) for rank in gang.ranks]
    start = gang.weights()
    steps = [rank.step.remote() for rank in gang.ranks]
    assert not any(stats.finite for one in ray.get(calls, timeout=60) for stats in one)
    assert [stats.skipped for stats in ray.get(steps, timeout=60)] == [SkipReason.loss] * len(gang.ranks)
    assert largest_difference(gang.weights(), start) == 0.0
