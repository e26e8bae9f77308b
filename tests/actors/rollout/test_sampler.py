from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from actors.generation import GeneratedGroup, GenerationRequest
from actors.reward.worker import DecodeOutcome
from actors.rollout.prompt_source import PreparedPrompt
from actors.rollout.rollouts import StepRollouts
from actors.rollout.sampler import Sampler
from museg.config.choices import Aggregation, ZeroVariance
from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import VideoError
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion
from museg.video.clip import ClipFacts


class Prompts:
    """Prompts of 10, 30 and 20 tokens a step; a step may fail."""

    def __init__(self, failing_step: int | None = None) -> None:
        self.failing_step = failing_step

    async def take(self, step: int) -> list[PreparedPrompt]:
        if step == self.failing_step:
            raise VideoError("too many bad videos")
        return [prompt(step, tokens) for tokens in (10, 30, 20)]

    async def more(self, step: int, count: int) -> list[PreparedPrompt]:
        return [prompt(step, 40 + place) for place in range(count)]


def prompt(step: int, num_tokens: int) -> PreparedPrompt:
    name = f"{step}/{num_tokens}"
    facts = ClipFacts(duration_s=8.0, native_fps=30.0, sample_fps=2.0, num_frames=4)
    return PreparedPrompt(
        sample=Sample(idx=num_tokens, problem="when?", solution=((1.0, 2.0),), video=name, task="tvg"),
        prompt=name,
        clip=f"clip of {name}",  # type: ignore[arg-type]
        outcome=DecodeOutcome(video=name, error=None, facts=facts),
        num_tokens=num_tokens,
    )


class Generators:
    """Stand for engines where only order and timing are looked at: groups finish in the order that a test gives."""

    def __init__(self, finishing: Sequence[int]) -> None:
        self.finishing = finishing
        self.finished = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[GeneratedGroup, None]:
        by_key = {request.key: request for request in requests}
        for key in (key for key in self.finishing if key in by_key):
            await self.may_go_on.wait()
            self.finished += 1
            yield GeneratedGroup(key=key, completions=(completion(by_key[key]),) * 2)
            await asyncio.sleep(0)


def completion(request: GenerationRequest) -> Completion:
    return Completion(
        token_ids=(1, 2), logprobs=(0.0, 0.0), text=request.prompt, finish_reason="stop", weights_version=0
    )


class Rewards:
    """Equal rewards for the prompts named flat, different ones for the others; longer prompts are scored later."""

    def __init__(self, flat: Sequence[str] = ()) -> None:
        self.flat = flat

    async def score(self, sample: Sample, texts: Sequence[str], clip: ClipFacts, phase: int) -> list[RewardBreakdown]:
        await asyncio.sleep(sample.idx / 10_000)
        return [RewardBreakdown(values={}, total=0.0 if sample.video in self.flat else place) for place in (0.0, 1.0)]


@pytest.fixture
def config() -> Config:
    config = Config()
    config.grpo.group_size, config.grpo.prompts_per_step, config.grpo.steps = 2, 3, 5
    return config


def sampled(
    config: Config, finishing: Sequence[int], *, flat: Sequence[str] = (), steps: Sequence[int] = (1,)
) -> tuple[list[str], list[StepRollouts]]:
    """Videos in the order of learning, and the steps' rollouts."""

    async def run() -> tuple[list[str], list[StepRollouts]]:
        sampler = Sampler(config, Prompts(), Generators(finishing), Rewards(flat))  # type: ignore[arg-type]
        for step in steps:
            sampler.sample(step, phases_of(config)[0])
        taken = [sampler.take(step) for step in steps]
        return [rollout.group.sample.video for rollouts in taken async for rollout in rollouts], taken

    return asyncio.run(run())


@pytest.mark.parametrize("finishing", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_groups_are_learned_from_longest_first_whoever_finishes_first(config: Config, finishing: list[int]) -> None:
    videos, (rollouts,) = sampled(config, finishing)
    assert videos == ["1/30", "1/20", "1/10"]
    assert (rollouts.totals.result().num_groups, rollouts.totals.result().num_completions) == (3, 6)
    assert [rollout.num_tokens for rollout in rollouts.harvest.rollouts] == [34, 24, 14]


def test_a_group_is_handed_on_while_others_are_still_sampled(config: Config) -> None:
    async def run() -> int:
        generators = Generators([0, 1, 2])
        sampler = Sampler(config, Prompts(), generators, Rewards())  # type: ignore[arg-type]
        sampler.sample(1, phases_of(config)[0])
        coming = aiter(sampler.take(1))
        generators.may_go_on.clear()
        asyncio.get_running_loop().call_later(0.02, generators.may_go_on.set)
        first = asyncio.create_task(anext(coming))
        while not generators.finished:
            await asyncio.sleep(0)
        generators.may_go_on.clear()
        await first
        return generators.finished

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("aggregation", [Aggregation.token_mean, None])
def test_without_streaming_the_totals_count_what_is_learned(config: Config, aggregation: Aggregation | None) -> None:
    config.grpo.aggregation, config.pipeline.streaming = aggregation, aggregation is not None
    config.grpo.zero_variance = ZeroVariance.skip
    videos, (rollouts,) = sampled(config, [2, 0, 1], flat=["1/20"])
    assert videos == ["1/30", "1/10"]
    assert (rollouts.totals.result().num_groups, rollouts.totals.result().num_tokens) == (2, 8)


def test_replaced_groups_come_after_those_that_were_certain(config: Config) -> None:
    config.grpo.zero_variance = ZeroVariance.resample
    videos, (rollouts,) = sampled(config, [0, 1, 2], flat=["1/30"])
    assert videos == ["1/20", "1/10", "1/40"]
    assert [rollouts.harvest.rollouts[place].group.sample.idx for place in rollouts.harvest.learned] == [20, 10, 40]


def test_steps_are_sampled_one_after_the_other(config: Config) -> None:
    videos, _ = sampled(config, [2, 1, 0], steps=(1, 2, 3))
    assert videos == [f"{step}/{tokens}" for step in (1, 2, 3) for tokens in (30, 20, 10)]


def test_what_sampling_raises_reaches_whoever_takes_the_rollouts(config: Config) -> None:
    async def run() -> None:
        sampler = Sampler(config, Prompts(failing_step=1), Generators([0, 1, 2]), Rewards())  # type: ignore[arg-type]
        sampler.sample(1, phases_of(config)[0])
        rollouts = sampler.take(1)
        await rollouts.prepared.wait()
        await rollouts.totals

    with pytest.raises(VideoError, match="too many"):
        asyncio.run(run())
