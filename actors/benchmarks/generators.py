"""Two generators beside one, each on its own core, the learner at rest."""

from __future__ import annotations

import statistics
import time

from actors.benchmarks.pinned_run import PinnedRun
from actors.generation.pool import GeneratorPool
from actors.rollout.sampler import Sampler
from museg.config.phases import phases_of


async def compare_generators(run: PinnedRun, *, repeats: int, warmups: int) -> dict[str, float]:
    """Tokens a second by one generator and by both, of the same steps' completions, in turn."""
    publisher = run.publisher(run.both)
    rates: dict[str, list[float]] = {"one": [], "both": []}
    for step in range(1, warmups + repeats + 1):
        for name, pool in (("one", run.one), ("both", run.both)):
            # Nothing stays in the engines' caches of what was sampled before.
            await publisher.publish(version=0)
            rates[name].append(await _tokens_per_s(run, pool, step))
    one, both = rates["one"][warmups:], rates["both"][warmups:]
    return {
        "generators_ratio": statistics.median(b / a for a, b in zip(one, both, strict=True)),
        "one_generator_tokens_per_s": statistics.median(one),
        "two_generators_tokens_per_s": statistics.median(both),
    }


async def _tokens_per_s(run: PinnedRun, pool: GeneratorPool, step: int) -> float:
    prompts = run.prompts()
    await prompts.ready(step)
    sampler = Sampler(run.config, prompts, pool, run.workers.reward_workers)
    started = time.perf_counter()
    sampler.sample(step, phases_of(run.config)[0])
    rollouts = sampler.take(step)
    groups = [rollout.group async for rollout in rollouts]
    prompts.close()
    num_tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    return num_tokens / (rollouts.generated_at_s - started)
