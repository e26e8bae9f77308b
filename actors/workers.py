"""Start the actors of a run: who they are called, what they reserve, when they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ray.actor import ActorHandle
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.cluster import has_gpus, reserved_and_offered
from actors.faults.budget import RestartBudget
from actors.faults.own_node import node_lives
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.generation import INTAKE, GenerationWorker, generation_options
from actors.generation.pool import GeneratorPool
from actors.learner.placement import learner_options
from actors.learner.worker import LearnerWorker
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.phase_start import PhaseStart
from actors.reward.placement import reward_options
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, RewardWorker
from actors.rollout.video_source import Embed, VideoSource
from actors.waiting import told_while_missing, within
from museg.config.schema import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceWorkers:
    """What answers questions: actors that decode videos and actors that generate."""

    generators: GeneratorPool
    reward_workers: RewardPool
    videos: VideoSource
    """Clips that the reward workers decode, each once."""
    occupation: Occupation
    """How busy all of them are."""
    budget: RestartBudget
    """How often they may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedWorkers:
    """What learns from demonstrations: actors that decode videos and the learner."""

    videos: VideoSource
    learner: LearnerGang
    occupation: Occupation

    @property
    def seats(self) -> list[Seat]:
        return [*self.videos.reward_workers.seats, *self.learner.seats]

    async def release(self, nodes: Collection[str]) -> None:
        """Do without whom these nodes hold, as far as the run needs none of them."""
        await self.videos.reward_workers.release(nodes)

    def close(self) -> None:
        """Give up what is being replaced, or may yet join."""
        self.videos.reward_workers.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers(InferenceWorkers):
    """The three kinds of actors of one run, ready to work."""

    learner: LearnerGang

    @property
    def seats(self) -> list[Seat]:
        return [*self.generators.seats, *self.reward_workers.seats, *self.learner.seats]

    async def release(self, nodes: Collection[str]) -> None:
        """Do without whom these nodes hold, as far as the run needs none of them."""
        await self.reward_workers.release(nodes)
        await self.generators.release(nodes)

    def close(self) -> None:
        """Give up what is being replaced, or may yet join."""
        self.generators.close()
        self.reward_workers.close()


@contextmanager
def learner_placement(config: Config) -> Iterator[PlacementGroup]:
    """One bundle a learner rank, packed as closely as the cluster allows."""
    bundle = {"CPU": config.learner.cpus} | ({"GPU": 1.0} if has_gpus() else {})
    ranks = config.learner.ranks
    group = placement_group(
        [bundle] * ranks,
        strategy="PACK",
        name=f"museg/{config.run.name}/learner",
        bundle_label_selector=[config.learner.node_labels] * ranks,
    )
    try:
        yield group
    finally:
        # Without its GCS Ray would wait for a minute, and then end the driver.
        if node_lives():
            remove_placement_group(group)


async def start_workers(
    config: Config, placement: PlacementGroup, start: PhaseStart, budget: RestartBudget | None = None
) -> Workers:
    """Create all actors side by side and wait until each has loaded its engine, the learner for the phase of `start`.

    Raises:
        DeadlineError: the cluster didn't give the resources in time.
    """
    occupation, budget = Occupation(), budget or RestartBudget(config.recovery)
    learner = await _placed_learner(config, placement, occupation, budget)
    embed = learner.embed if config.policy.freeze_vision else None
    inference, _ = await asyncio.gather(
        start_inference_workers(config, occupation, embed, budget), _connected(config, learner, start)
    )
    return Workers(
        generators=inference.generators,
        reward_workers=inference.reward_workers,
        videos=inference.videos,
        occupation=occupation,
        budget=budget,
        learner=learner,
    )


async def start_inference_workers(
    config: Config,
    occupation: Occupation | None = None,
    embed: Embed | None = None,
    budget: RestartBudget | None = None,
) -> InferenceWorkers:
    """The generators, each with its engine loaded, and the reward workers: enough to evaluate.

    More of them, up to `max_workers`, are asked for once those are there, and join when they are ready.

    `embed` runs the frozen tower, where there is a learner that has it.

    Raises:
        DeadlineError: the cluster didn't give the resources in time.
    """
    occupation, budget = occupation or Occupation(), budget or RestartBudget(config.recovery)
    generators = [_generator_seat(config, rank, budget) for rank in range(config.generation.workers)]
    rewards = [_reward_seat(config, rank, budget) for rank in range(config.reward.workers)]
    await within(
        config.recovery.start_timeout_s,
        f"the generators' start ({reserved_and_offered(config)})",
        asyncio.gather(*(seat.first_filled() for seat in generators)),
    )
    reward_workers = await _reward_pool(config, rewards, occupation, budget)
    more = range(config.generation.workers, config.generation.max_workers or 0)
    generators += [_generator_seat(config, rank, budget, vacant=True) for rank in more]
    pool = GeneratorPool(generators, config.generation, occupation)
    pool.attendance.welcome()
    return InferenceWorkers(
        generators=pool,
        reward_workers=reward_workers,
        videos=VideoSource(reward_workers, cache_gib=config.video.cache_gib, embed=embed),
        occupation=occupation,
        budget=budget,
    )


def without_learner(config: Config, purpose: str) -> Config:
    """What the cluster is asked for: actors whose names don't collide with those of a run that is still training."""
    return replace(
        config,
        run=replace(config.run, name=f"{config.run.name}.{purpose}"),
        learner=replace(config.learner, ranks=0),
    )


async def start_supervised_workers(
    config: Config, placement: PlacementGroup, budget: RestartBudget | None = None
) -> SupervisedWorkers:
    """The reward workers, which decode, and the learner with its engine loaded; no generators.

    Raises:
        DeadlineError: the cluster didn't give the resources in time.
    """
    occupation, budget = Occupation(), budget or RestartBudget(config.recovery)
    learner = await _placed_learner(config, placement, occupation, budget)
    rewards = [_reward_seat(config, rank, budget) for rank in range(config.reward.workers)]
    await _connected(config, learner, PhaseStart.of_run(config))
    videos = VideoSource(
        await _reward_pool(config, rewards, occupation, budget),
        cache_gib=config.video.cache_gib,
        embed=learner.embed if config.policy.freeze_vision else None,
    )
    return SupervisedWorkers(videos=videos, learner=learner, occupation=occupation)


async def _reward_pool(
    config: Config, seats: Sequence[Seat], occupation: Occupation, budget: RestartBudget
) -> RewardPool:
    """Of these and of those that may join.

    Who may join, here and elsewhere, is asked for when these are there, so that nobody takes their places.
    """
    if config.reward.max_workers or config.generation.max_workers:
        # One that dies at once is noticed, and replaced, by who needs it.
        await asyncio.gather(*(seat.filled() for seat in seats), return_exceptions=True)
    more = range(config.reward.workers, config.reward.max_workers or 0)
    vacant = [_reward_seat(config, rank, budget, vacant=True) for rank in more]
    pool = RewardPool([*seats, *vacant], config.reward.timeout_s, occupation)
    pool.attendance.welcome()
    return pool


async def _placed_learner(
    config: Config, placement: PlacementGroup, occupation: Occupation, budget: RestartBudget
) -> LearnerGang:
    """The learner's ranks, once the cluster has a place for all of them; nobody else is started before."""
    share = reserved_and_offered(config)
    place, timeout_s = f"a place for the learner ranks ({share})", config.recovery.start_timeout_s
    async with told_while_missing(place, timeout_s, budget.say):
        await within(timeout_s, place, placement.ready())
    ranks = [_learner_seat(config, rank, placement, budget) for rank in range(config.learner.ranks)]
    return LearnerGang(ranks, config, occupation, budget)


async def _connected(config: Config, learner: LearnerGang, start: PhaseStart) -> None:
    share = reserved_and_offered(config)
    await within(config.recovery.start_timeout_s, f"the learner's start ({share})", learner.connect(start))


def _learner_seat(config: Config, rank: int, placement: PlacementGroup, budget: RestartBudget) -> Seat:
    """Its actor is ready once it exists: the ranks connect together."""
    strategy = PlacementGroupSchedulingStrategy(placement_group=placement, placement_group_bundle_index=rank)
    options = learner_options(config, rank, config.run.name)

    def start() -> ActorHandle:
        worker = as_actor(LearnerWorker)
        return worker.options(**options, scheduling_strategy=strategy).remote(config, rank)

    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    return Seat(f"learner-{rank}", start, ready, budget, start_timeout_s=config.recovery.start_timeout_s)


def _generator_seat(config: Config, rank: int, budget: RestartBudget, *, vacant: bool = False) -> Seat:
    """Its actor is ready once its engine is loaded, with the weights of `model.path`."""
    options = generation_options(config, rank, config.run.name)

    def start() -> ActorHandle:
        return as_actor(GenerationWorker, INTAKE).options(**options).remote(config, rank)

    async def ready(actor: ActorHandle) -> None:
        await actor.ready.remote()

    timeout_s = config.recovery.start_timeout_s
    return Seat(f"generation-{rank}", start, ready, budget, start_timeout_s=timeout_s, vacant=vacant)


def _reward_seat(config: Config, rank: int, budget: RestartBudget, *, vacant: bool = False) -> Seat:
    options = reward_options(config, rank, config.run.name)

    def start() -> ActorHandle:
        worker = as_actor(RewardWorker, SCORING)
        return worker.options(**options).remote(config, rank)

    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    timeout_s = config.recovery.start_timeout_s
    return Seat(f"reward-{rank}", start, ready, budget, start_timeout_s=timeout_s, vacant=vacant)
