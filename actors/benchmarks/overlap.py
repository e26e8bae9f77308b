"""How far generation and learning overlap, each on a core of its own, by the trainer itself."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ray.util.placement_group import PlacementGroup
from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.benchmarks.cores import cpu_s, on_cores, pin
from actors.benchmarks.material import BenchData, ModelShape, build_model_folder, make_data, prompt_shape
from actors.cluster import ray_session
from actors.generator_pool import GeneratorPool
from actors.phase_start import PhaseStart
from actors.progress import ProgressDisplay
from actors.prompt_source import PromptSource
from actors.resuming import TrainerState
from actors.sampler import Sampler
from actors.stopping import StopSignal
from actors.trainer import Trainer
from actors.weight_sync.publisher import WeightPublisher
from actors.workers import Workers, learner_placement, start_workers
from museg.config.choices import DType, Schedule
from museg.config.phases import phases_of
from museg.config.schema import (
    Config,
    DataConfig,
    GenerationConfig,
    GRPOConfig,
    LearnerConfig,
    ModelConfig,
    PipelineConfig,
    RewardConfig,
    RunConfig,
)
from museg.runs.directory import RunDirectory

WARMUPS = 1
"""First steps of each way, which don't count; nor does the last, during which a way that runs ahead samples nothing."""

PHASE_BY_PHASE = PipelineConfig(streaming=False)
STREAMING = PipelineConfig()
AHEAD = PipelineConfig(staleness=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapShape:
    """One step, and the model that takes it."""

    prompt_tokens: int
    completion_tokens: int
    """The longest completion; most end before."""
    group_size: int
    num_prompts: int
    groups_at_once: int
    """That one generator samples side by side, and that the learner packs into a micro-batch."""
    repeats: int
    """Steps that count."""
    seed: int
    model: ModelShape

    @property
    def steps(self) -> int:
        return WARMUPS + self.repeats + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WaySteps:
    """The steps that count of one way to order a step."""

    rows: Sequence[Mapping[str, float]]
    """Their metrics."""
    wall_s: Sequence[float]
    """From the end of a step to the end of the next."""
    generator_cpu_s: float
    """A step."""
    learner_cpu_s: float
    """A step."""

    def median(self, key: str) -> float:
        return statistics.median(row[key] for row in self.rows)

    @property
    def step_s(self) -> float:
        return statistics.median(self.wall_s)

    def row(self, name: str) -> dict[str, object]:
        """For the bench's table."""
        return {
            "way": name,
            "step_s": self.step_s,
            "step_s_min": min(self.wall_s),
            "step_s_max": max(self.wall_s),
            "generator_cpu_s": self.generator_cpu_s,
            "learner_cpu_s": self.learner_cpu_s,
            "generator_idle": self.median("idle/generation-0"),
            "learner_idle": self.median("idle/learner-0"),
            "tokens_mean": statistics.fmean(row["completion/tokens_mean"] for row in self.rows),
            "staleness": max(row["staleness"] for row in self.rows),
        }


def measure_overlap(shape: OverlapShape, work: Path) -> dict[str, object]:
    """The same steps phase by phase, streaming and one step ahead; then two generators beside one.

    The learning rate is as good as 0, so that each way samples the same completions.

    Raises:
        ConfigError: the shape can't be had, or the machine has too few cores.
    """
    model = build_model_folder(work / "model", shape.model, seed=shape.seed)
    processor = Qwen2_5_VLProcessor.from_pretrained(model)
    prompt = prompt_shape(processor.tokenizer, shape.prompt_tokens)
    data = make_data(work / "data", processor, prompt, shape.num_prompts * shape.steps, seed=shape.seed)
    config = overlap_config(shape, model, data, work)
    with on_cores(2) as cores, ray_session(config), learner_placement(config) as placement:
        return asyncio.run(_measure(shape, config, data, processor, placement, cores))


def overlap_config(shape: OverlapShape, model: Path, data: BenchData, work: Path) -> Config:
    """Two generators and a learner, of one thread each."""
    group_tokens = shape.prompt_tokens + shape.group_size * shape.completion_tokens
    return Config(
        seed=shape.seed,
        run=RunConfig(name="bench-overlap", root=str(work)),
        model=ModelConfig(path=str(model), dtype=DType.float32),
        data=DataConfig(train=str(data.file), video_root=str(data.video_root)),
        video=data.shape.video_config(),
        grpo=GRPOConfig(
            group_size=shape.group_size,
            prompts_per_step=shape.num_prompts,
            steps=shape.steps,
            kl_beta=0.0,
            importance_cap=2.0,
        ),
        generation=GenerationConfig(
            workers=2,
            temperature=1.0,
            max_tokens=shape.completion_tokens,
            max_model_len=shape.prompt_tokens + shape.completion_tokens,
            max_sequences=shape.groups_at_once * shape.group_size,
            cpus=0.5,
        ),
        reward=RewardConfig(workers=1, cpus=0.1),
        learner=LearnerConfig(
            zero_stage=2,
            lr=1e-12,
            schedule=Schedule.constant,
            gradient_checkpointing=False,
            micro_batch_tokens=shape.groups_at_once * group_tokens,
            cpus=0.5,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pinned:
    """A run's workers: the first generator on one core, the second and the learner on the other."""

    workers: Workers
    one: GeneratorPool
    both: GeneratorPool
    generator_pid: int
    learner_pid: int

    @classmethod
    async def start(cls, config: Config, placement: PlacementGroup, cores: Sequence[int]) -> Self:
        workers = await start_workers(config, placement, PhaseStart.of_run(config))
        first, second = workers.generators.workers
        generator_pid, learner_pid = pin(first, cores[0]), pin(workers.learner.ranks[0], cores[1])
        pin(second, cores[1])
        one = GeneratorPool([first], config.generation.timeout_s, workers.occupation)
        return cls(
            workers=workers,
            one=one,
            both=workers.generators,
            generator_pid=generator_pid,
            learner_pid=learner_pid,
        )


async def _measure(
    shape: OverlapShape,
    config: Config,
    data: BenchData,
    processor: Qwen2_5_VLProcessor,
    placement: PlacementGroup,
    cores: Sequence[int],
) -> dict[str, object]:
    pinned = await _Pinned.start(config, placement, cores)
    ways = {}
    for name, pipeline in (("phase by phase", PHASE_BY_PHASE), ("streaming", STREAMING), ("a step ahead", AHEAD)):
        ways[name] = await _steps(replace(config, pipeline=pipeline), data, processor, pinned)
    apart, streaming, ahead = ways.values()
    generate_s, learn_s = apart.median("time/generate_s"), apart.median("time/learn_s")
    return {
        "prompt_tokens": data.shape.num_tokens,
        "generate_s": generate_s,
        "learn_s": learn_s,
        "sync_s": apart.median("time/sync_s"),
        "overlap_ratio": ahead.step_s / max(generate_s, learn_s),
        "streaming_ratio": apart.step_s / streaming.step_s,
        **await _generators(shape, config, data, processor, pinned),
        "ways": [way.row(name) for name, way in ways.items()],
    }


async def _steps(config: Config, data: BenchData, processor: Qwen2_5_VLProcessor, pinned: _Pinned) -> WaySteps:
    """The trainer's own steps with the first generator, in the order that `pipeline` gives them."""
    trainer = _trainer(config, data, processor, pinned)
    (phase,) = trainer.phases
    await trainer.publish(version=0)
    await trainer.prompts.ready(1)
    rows, wall_s, cpu = [], [], [(0.0, 0.0)]
    ended_s = time.perf_counter()
    for step in range(1, phase.last_step + 1):
        rows.append(await trainer.step(step, phase))
        wall_s.append(time.perf_counter() - ended_s)
        ended_s += wall_s[-1]
        cpu.append((cpu_s(pinned.generator_pid), cpu_s(pinned.learner_pid)))
    trainer.sampler.close()
    trainer.prompts.close()
    counted = slice(WARMUPS, -1)
    (generator_before, learner_before), (generator_after, learner_after) = cpu[WARMUPS], cpu[-2]
    repeats = len(rows[counted])
    return WaySteps(
        rows=rows[counted],
        wall_s=wall_s[counted],
        generator_cpu_s=(generator_after - generator_before) / repeats,
        learner_cpu_s=(learner_after - learner_before) / repeats,
    )


def _trainer(config: Config, data: BenchData, processor: Qwen2_5_VLProcessor, pinned: _Pinned) -> Trainer:
    workers = pinned.workers
    run = RunDirectory(Path(config.run.root) / config.run.name)
    run.create("")
    progress = ProgressDisplay(config.run.name, config.grpo.steps, 0, Console(quiet=True))
    prompts = PromptSource(config, {config.data.train: data.samples}, processor, workers.videos, {})
    return Trainer(
        config=config,
        phases=phases_of(config),
        run=run,
        checkpoint_folders=[],
        start=TrainerState(),
        prompts=prompts,
        sampler=Sampler(config, prompts, pinned.one, workers.reward_workers),
        generators=pinned.one,
        learner=workers.learner,
        weights=WeightPublisher(workers.learner.ranks, pinned.one.workers, config.sync),
        evaluator=None,
        occupation=workers.occupation,
        progress=progress,
        stop=StopSignal(progress.say),
    )


async def _generators(
    shape: OverlapShape, config: Config, data: BenchData, processor: Qwen2_5_VLProcessor, pinned: _Pinned
) -> dict[str, object]:
    """A step's prompts by one generator and by both in turn, the learner at rest."""
    weights = WeightPublisher(pinned.workers.learner.ranks, pinned.both.workers, config.sync)
    rates: dict[str, list[float]] = {"one": [], "both": []}
    for step in range(1, WARMUPS + shape.repeats + 1):
        for name, pool in (("one", pinned.one), ("both", pinned.both)):
            # Nothing stays in the engines' caches of what was sampled before.
            await weights.publish(version=0)
            rates[name].append(await _tokens_per_s(step, config, data, processor, pinned.workers, pool))
    one, both = rates["one"][WARMUPS:], rates["both"][WARMUPS:]
    return {
        "generators_ratio": statistics.median(b / a for a, b in zip(one, both, strict=True)),
        "one_generator_tokens_per_s": statistics.median(one),
        "two_generators_tokens_per_s": statistics.median(both),
    }


async def _tokens_per_s(
    step: int,
    config: Config,
    data: BenchData,
    processor: Qwen2_5_VLProcessor,
    workers: Workers,
    pool: GeneratorPool,
) -> float:
    prompts = PromptSource(config, {config.data.train: data.samples}, processor, workers.videos, {})
    await prompts.ready(step)
    sampler = Sampler(config, prompts, pool, workers.reward_workers)
    started = time.perf_counter()
    sampler.sample(step, phases_of(config)[0])
    rollouts = sampler.take(step)
    groups = [rollout.group async for rollout in rollouts]
    seconds = rollouts.generated_at_s - started
    prompts.close()
    return sum(len(completion.token_ids) for group in groups for completion in group.completions) / seconds
