"""Two generators beside one, each on its own core, the learner at rest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ray
import torch
from ray.actor import ActorHandle

from actors.benchmarks.cores import cpu_s
from actors.benchmarks.pinned_run import PinnedRun
from actors.generation.pool import GeneratorPool
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from museg.config.phases import phases_of
from museg.config.schema import Config

_BOUND_S = 2.0
_SEQUENCES, _WIDTH, _NUM_MATRICES = 16, 256, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    """What some generators did in one step's sampling."""

    tokens: int
    seconds: float
    cpu_s: tuple[float, ...]
    """Of each of these generators, which has one core."""

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds

    @property
    def share(self) -> float:
        """Of their cores' time; the rest went to others, or to nobody."""
        return statistics.fmean(self.cpu_s) / self.seconds

    @property
    def share_of_busiest(self) -> float:
        """Of its core's time: it works until the last group is there, so what is missing went to others."""
        return max(self.cpu_s) / self.seconds

    @property
    def cpu_s_per_token(self) -> float:
        return sum(self.cpu_s) / self.tokens


async def compare_generators(run: PinnedRun, *, num_prompts: int, repeats: int, warmups: int) -> dict[str, float]:
    """Tokens a second by one generator and by both, of the same steps' completions, in turn; and what bounds it.

    Of `num_prompts` a sampling: with few groups a generator, the later of two ends decides.

    `generators_ratio` is 2 `share_ratio` / `cpu_ratio`: of the share of its core that a generator has alone,
    `share_ratio` is left beside the other, and a token takes `cpu_ratio` times the processor time (caches, memory and
    clock are shared). Of what is missing in `share_ratio`, driver, reward worker and Ray, which then have no core to
    themselves, take what is missing in `busiest_share_ratio`; the rest passes at the end, when one of the two has
    nothing left to sample. `cores_ratio` is the same comparison of torch's matrix products alone, of a decoding step's
    shape, in the same processes.
    """
    config = replace(run.config, grpo=replace(run.config.grpo, prompts_per_step=num_prompts))
    publisher = run.publisher(run.both)
    sampled: dict[str, list[_Sampled]] = {"one": [], "both": []}
    bounds = []
    for step in range(1, warmups + repeats + 1):
        for name, pool in (("one", run.one), ("both", run.both)):
            # Nothing stays in the engines' caches of what was sampled before.
            await publisher.publish(version=0)
            sampled[name].append(await _sample(run, config, pool, step))
        bounds.append(_cores_ratio([seat.actor for seat in run.both.seats]))
    one, both = sampled["one"][warmups:], sampled["both"][warmups:]

    def ratio(figure: Callable[[_Sampled], float]) -> float:
        return statistics.median(figure(b) / figure(a) for a, b in zip(one, both, strict=True))

    return {
        "generators_ratio": ratio(lambda some: some.tokens_per_s),
        "share_ratio": ratio(lambda some: some.share),
        "busiest_share_ratio": ratio(lambda some: some.share_of_busiest),
        "cpu_ratio": ratio(lambda some: some.cpu_s_per_token),
        "cores_ratio": statistics.median(bounds[warmups:]),
        "one_generator_tokens_per_s": statistics.median(some.tokens_per_s for some in one),
        "two_generators_tokens_per_s": statistics.median(some.tokens_per_s for some in both),
    }


async def _sample(run: PinnedRun, config: Config, pool: GeneratorPool, step: int) -> _Sampled:
    samples = {config.data.train: run.data.samples}
    prompts = PromptSource(config, samples, run.processor, run.workers.videos, {})
    await prompts.ready(step)
    sampler = Sampler(config, prompts, pool, run.workers.reward_workers)
    pids = run.generator_pids[: len(pool.seats)]
    cpu_before_s, started_s = [cpu_s(pid) for pid in pids], time.perf_counter()
    sampler.sample(step, phases_of(config)[0])
    rollouts = sampler.take(step)
    groups = [rollout.group async for rollout in rollouts]
    cpu_after_s = [cpu_s(pid) for pid in pids]
    prompts.close()
    return _Sampled(
        tokens=sum(len(completion.token_ids) for group in groups for completion in group.completions),
        seconds=rollouts.generated_at_s - started_s,
        cpu_s=tuple(after - before for before, after in zip(cpu_before_s, cpu_after_s, strict=True)),
    )


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
