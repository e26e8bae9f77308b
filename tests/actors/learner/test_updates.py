"""Several updates a rollout and a clipping loss on real DeepSpeed ranks, against a plain torch loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from actors.learner.schedule import learning_rate
from actors.learner.stats import GroupStats, StepStats
from actors.learner.updates import OldLogprobs
from actors.rollout.flat_groups import harvest
from actors.rollout.rollouts import Rollout
from museg.config.choices import Variant, ZeroVariance
from museg.config.schema import Config
from museg.policy.logprobs import CompletionLogprobs
from museg.rollout.completions import Group
from tests.actors.learner.conftest import Batch, Gang, Weights, driven, largest_difference, learn
from tests.actors.learner.plain import PlainLearner

CAP, LOW, HIGH = 1.2, 0.02, 0.03


@pytest.fixture(scope="module")
def config(make_config: Callable[..., Config]) -> Config:
    """DAPO with narrow bounds, so that second updates are clipped, and importance weights that the cap cuts."""
    config = make_config(ranks=2, zero_stage=2)
    config.grpo.variant, config.grpo.updates_per_rollout = Variant.dapo, 2
    config.grpo.zero_variance = ZeroVariance.skip
    config.grpo.clip_low, config.grpo.clip_high, config.grpo.importance_cap = LOW, HIGH, CAP
    return config


@pytest.fixture(scope="module")
def gang(config: Config, local_ray: None) -> Iterator[Gang]:
    gang = Gang(config)
    yield gang
    gang.stop()


@pytest.fixture(scope="module")
def sampled(config: Config, batch: Batch) -> Batch:
    """The batch with an engine's logprobs that stray from the learner's by 0.3 nats."""
    generator = torch.Generator().manual_seed(0)
    groups = []
    for group, scored in zip(batch.groups, PlainLearner(config, batch).scores(), strict=True):
        strayed = scored.logprobs.detach() + 0.3 * torch.randn(scored.logprobs.shape, generator=generator)
        groups.append(with_logprobs(group, strayed.tolist()))
    return Batch(groups=tuple(groups), clips=batch.clips)


@pytest.fixture(scope="module")
def moving(sampled: Batch) -> Batch:
    """The same as if its flat group had never been."""
    kept = [index for index, group in enumerate(sampled.groups) if any(group.advantages)]
    return Batch(
        groups=tuple(sampled.groups[index] for index in kept), clips=tuple(sampled.clips[index] for index in kept)
    )


def with_logprobs(group: Group, rows: list[list[float]]) -> Group:
    completions = tuple(
        replace(completion, logprobs=tuple(row[: len(completion.token_ids)]))
        for completion, row in zip(group.completions, rows, strict=True)
    )
    return replace(group, completions=completions)


def plain_update(
    scores: list[CompletionLogprobs], old: list[torch.Tensor], start: list[torch.Tensor], batch: Batch, kl_beta: float
) -> tuple[torch.Tensor, float, float]:
    """The loss over all tokens of the step at once, the share of ratios held back and that of weights cut."""
    losses, held, cut = [], [], []
    for group, scored, before, reference in zip(batch.groups, scores, old, start, strict=True):
        for row, (completion, advantage) in enumerate(zip(group.completions, group.advantages, strict=True)):
            tokens = slice(0, len(completion.token_ids))
            logprobs, earlier = scored.logprobs[row, tokens], before[row, tokens]
            ratio, engine = (logprobs - earlier).exp(), torch.tensor(completion.logprobs)
            low, high = ratio * advantage, ratio.clamp(1 - LOW, 1 + HIGH) * advantage
            gap = reference[row, tokens] - logprobs
            weight = (earlier - engine).exp().clamp(max=CAP)
            losses.append(-weight * torch.minimum(low, high) + kl_beta * (gap.exp() - gap - 1))
            held.append(high < low)
            cut.append((earlier - engine).exp() > CAP)
    return torch.cat(losses).mean(), torch.cat(held).float().mean().item(), torch.cat(cut).float().mean().item()


async def nothing_more(count: int) -> list[Rollout]:
    raise AssertionError(f"{count} prompts drawn under zero_variance=skip")


PlainSteps = tuple[Weights, list[tuple[float, float, float, float]]]


@pytest.fixture(scope="module")
def plain_steps(config: Config, moving: Batch) -> PlainSteps:
    """Two steps of two updates: the weights, and of each step the first loss, mean norm, mean held and cut shares."""
    learner = PlainLearner(config, moving)
    start, figures = learner.reference_logprobs(), []
    for step in (1, 2):
        old = [scored.logprobs.detach() for scored in learner.scores()]
        losses, norms, shares = [], [], []
        for _ in range(2):
            loss, share, cut = plain_update(learner.scores(), old, start, moving, config.grpo.kl_beta)
            losses.append(loss.item())
            shares.append(share)
            norms.append(learner.apply(loss, step))
        figures.append((losses[0], sum(norms) / 2, sum(shares) / 2, cut))
    return learner.weights(), figures


@pytest.mark.slow
def test_two_updates_a_step_are_those_of_a_plain_torch_loop_over_the_groups_not_skipped_and_resume_at_their_step(
    config: Config, gang: Gang, sampled: Batch, plain_steps: PlainSteps, tmp_path: Path
) -> None:
    learner = driven(gang)

    def step() -> tuple[list[GroupStats], StepStats]:
        own = [
            Rollout(group=group, clip=ray.put(clip), num_prompt_tokens=64)
            for group, clip in zip(sampled.groups, sampled.clips, strict=True)
        ]
        result = asyncio.run(harvest(config.grpo, own, nothing_more))
        return asyncio.run(learn(learner, [result.rollouts[place] for place in result.learned]))

    def check(number: int, group_stats: list[GroupStats], step_stats: StepStats) -> None:
        loss, norm, clipped, cut = plain_steps[1][number - 1]
        tokens = [stats.num_tokens for stats in group_stats]
        assert sum(stats.loss for stats in group_stats) / 3 == pytest.approx(loss, abs=1e-5)
        assert step_stats.grad_norm == pytest.approx(norm, rel=1e-3)
        assert step_stats.step == number
        assert step_stats.lr == pytest.approx(learning_rate(config.learner, number, config.grpo.steps))
        shares = [stats.clip_fraction * count for stats, count in zip(group_stats, tokens, strict=True)]
        assert sum(shares) / sum(tokens) == pytest.approx(clipped, abs=2 / sum(tokens))
        assert 0.02 < clipped < 0.5
        cuts = [stats.importance.capped_fraction for stats in group_stats if stats.importance]
        weighted = sum(share * count for share, count in zip(cuts, tokens, strict=True))
        assert weighted / sum(tokens) == pytest.approx(cut, abs=2 / sum(tokens))
        assert 0.1 < cut < 0.9
        # Three groups are two and one on two ranks, in each of the two updates.
        assert step_stats.num_micro_batches == 4
        assert len(step_stats.busy_s) == 2
        assert min(step_stats.busy_s) > 0.0

    check(1, *step())
    gang.on_all("save_state", tmp_path)
    check(2, *step())
    assert largest_difference(gang.weights(), plain_steps[0]) < 1e-4
    weights = gang.weights()
    gang.on_all("load_state", tmp_path)
    check(2, *step())
    assert largest_difference(gang.weights(), weights) == 0.0


def test_old_logprobs_are_those_of_the_first_update_and_end_with_the_step() -> None:
    old = OldLogprobs(updates_per_rollout=2)
    first, second, third, later = (torch.full((1, 1), value, requires_grad=True) for value in (-1.0, -2.0, -2.5, -3.0))
    for _ in range(2):
        assert old.of_next(1) == [None]
        old.done([first])
        assert old.of_next(2) == [None, None]
        old.done([second, third])
        old.update_done()
        kept = [*old.of_next(2)]
        old.done([later, later])
        kept += old.of_next(1)
        old.done([later])
        old.update_done()
        assert [one.item() for one in kept if one is not None] == [-1.0, -2.0, -2.5]
        assert not any(one.requires_grad for one in kept if one is not None)
