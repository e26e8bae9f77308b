"""Two generators beside one, each on its own core, the learner at rest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import ray
import torch
from ray.actor import ActorHandle

from actors.benchmarks.pinned_run import PinnedRun
from actors.generation.pool import GeneratorPool
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from museg.config.phases import phases_of
from museg.config.schema import Config

_BOUND_S = 2.0
_SEQUENCES, _WIDTH, _NUM_MATRICES = 16, 256, 64


async def compare_generators(run: PinnedRun, *, num_prompts: int, repeats: int, warmups: int) -> dict[str, float]:
    """Tokens a second by one generator and by both, of the same steps' completions, in turn; and what bounds it.

    Of `num_prompts` a sampling: with few groups a generator, the later of two ends decides.

    `cores_ratio` is the same comparison of torch's matrix products alone, of a decoding step's shape, in the same
    processes: what two cores of this machine give where they share its caches, memory and clock.
    """
    config = replace(run.config, grpo=replace(run.config.grpo, prompts_per_step=num_prompts))
    publisher = run.publisher(run.both)
    rates: dict[str, list[float]] = {"one": [], "both": []}
    bounds = []
    for step in range(1, warmups + repeats + 1):
        for name, pool in (("one", run.one), ("both", run.both)):
            # Nothing stays in the engines' caches of what was sampled before.
            await publisher.publish(version=0)
            rates[name].append(await _tokens_per_s(run, config, pool, step))
        bounds.append(_cores_ratio([seat.actor for seat in run.both.seats]))
    one, both = rates["one"][warmups:], rates["both"][warmups:]
    return {
        "generators_ratio": statistics.median(b / a for a, b in zip(one, both, strict=True)),
        "cores_ratio": statistics.median(bounds[warmups:]),
        "one_generator_tokens_per_s": statistics.median(one),
        "two_generators_tokens_per_s": statistics.median(both),
    }


async def _tokens_per_s(run: PinnedRun, config: Config, pool: GeneratorPool, step: int) -> float:
    samples = {config.data.train: run.data.samples}
    prompts = PromptSource(config, samples, run.processor, run.workers.videos, {})
    await prompts.ready(step)
    sampler = Sampler(config, prompts, pool, run.workers.reward_workers)
    started = time.perf_counter()
    sampler.sample(step, phases_of(config)[0])
    rollouts = sampler.take(step)
    groups = [rollout.group async for rollout in rollouts]
    prompts.close()
    num_tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    return num_tokens / (rollouts.generated_at_s - started)


def _cores_ratio(actors: Sequence[ActorHandle]) -> float:
    """Products a second in all actors' processes at once, to those of the first alone."""

    def products_per_s(some: Sequence[ActorHandle]) -> float:
        return sum(ray.get([actor.__ray_call__.remote(_products_per_s) for actor in some], timeout=60))

    return products_per_s(actors) / products_per_s(actors[:1])


def _products_per_s(_: object) -> float:
    inputs = torch.ones(_SEQUENCES, _WIDTH)
    matrices = [torch.ones(3 * _WIDTH, _WIDTH) for _ in range(_NUM_MATRICES)]
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < _BOUND_S:
        for matrix in matrices:
            torch.nn.functional.linear(inputs, matrix)
        count += _NUM_MATRICES
    return count / elapsed
