"""How far generation and learning overlap, each on a core of its own, by the trainer itself."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import Qwen2_5_VLProcessor

from actors.benchmarks.cores import cpu_s, on_cores
from actors.benchmarks.generators import compare_generators
from actors.benchmarks.material import BenchData, ModelShape, build_model_folder, make_data, prompt_shape
from actors.benchmarks.pinned_run import PinnedRun
from actors.cluster import ray_session
from actors.workers import learner_placement
from museg.config.choices import DType, Schedule
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
    num_prompts_of_two: int
    """That two generators share; the step is one generator's."""
    groups_at_once: int
    """That one generator samples side by side."""
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
    num_samples = max(shape.num_prompts * shape.steps, shape.num_prompts_of_two)
    data = make_data(work / "data", processor, prompt, num_samples, seed=shape.seed)
    config = overlap_config(shape, model, data, work)

    async def on_own_cores() -> dict[str, object]:
        return await _measure(await PinnedRun.start(config, data, processor, placement, cores), shape)

    with on_cores(2) as cores, ray_session(config), learner_placement(config) as placement:
        return asyncio.run(on_own_cores())


def overlap_config(shape: OverlapShape, model: Path, data: BenchData, work: Path) -> Config:
    """Two generators and a learner, of one thread each; a micro-batch is the longest group that there can be."""
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
            micro_batch_tokens=shape.prompt_tokens + shape.group_size * shape.completion_tokens,
            cpus=0.5,
        ),
    )


async def _measure(run: PinnedRun, shape: OverlapShape) -> dict[str, object]:
    await run.decode()
    ways = {
        name: await _steps(run, pipeline)
        for name, pipeline in (("phase by phase", PHASE_BY_PHASE), ("streaming", STREAMING), ("a step ahead", AHEAD))
    }
    apart, streaming, ahead = ways.values()
    generate_s, learn_s = apart.median("time/generate_s"), apart.median("time/learn_s")
    return {
        "prompt_tokens": run.data.shape.num_tokens,
        "generate_s": generate_s,
        "learn_s": learn_s,
        "sync_s": apart.median("time/sync_s"),
        "overlap_ratio": ahead.step_s / max(generate_s, learn_s),
        "streaming_ratio": apart.step_s / streaming.step_s,
        **await compare_generators(run, num_prompts=shape.num_prompts_of_two, repeats=shape.repeats, warmups=WARMUPS),
        "ways": [way.row(name) for name, way in ways.items()],
    }


async def _steps(run: PinnedRun, pipeline: PipelineConfig) -> WaySteps:
    """The trainer's own steps, from prompts that are ready."""
    trainer = run.trainer(pipeline)
    (phase,) = trainer.phases
    await trainer.weights.to_all(version=0)
    await trainer.prompts.ready(1)
    rows, wall_s, cpu = [], [], [(0.0, 0.0)]
    ended_s = time.perf_counter()
    for step in range(1, phase.last_step + 1):
        rows.append(await trainer.step(step, phase))
        wall_s.append(time.perf_counter() - ended_s)
        ended_s += wall_s[-1]
        cpu.append((cpu_s(run.generator_pids[0]), cpu_s(run.learner_pid)))
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
