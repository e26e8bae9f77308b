"""A run's workers, each on a core of its own, driven by the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ray.util.placement_group import PlacementGroup
from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.benchmarks.cores import pin
from actors.benchmarks.material import BenchData
from actors.checkpointing.writer import CheckpointWriter
from actors.generation.pool import GeneratorPool
from actors.guards.watch import Guards
from actors.phase_start import PhaseStart
from actors.progress import ProgressDisplay
from actors.resuming import TrainerState
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from actors.stopping import StopSignal
from actors.trainer import Trainer
from actors.weight_sync.delivery import WeightDelivery
from actors.weight_sync.publisher import WeightPublisher
from actors.workers import Workers, start_workers
from museg.config.phases import phases_of
from museg.config.schema import Config, PipelineConfig
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedRun:
    """Two generators and a learner: the first generator on one core, the second and the learner on the other."""

    config: Config
    data: BenchData
    processor: Qwen2_5_VLProcessor
    workers: Workers
    one: GeneratorPool
    """The first generator."""
    both: GeneratorPool
    generator_pids: tuple[int, int]
    learner_pid: int

    @classmethod
    async def start(
        cls,
        config: Config,
        data: BenchData,
        processor: Qwen2_5_VLProcessor,
        placement: PlacementGroup,
        cores: Sequence[int],
    ) -> Self:
        workers = await start_workers(config, placement, PhaseStart.of_run(config))
        first, second = workers.generators.seats
        return cls(
            config=config,
            data=data,
            processor=processor,
            workers=workers,
            one=GeneratorPool([first], config.generation, workers.occupation),
            both=workers.generators,
            generator_pids=(pin(first.actor, cores[0]), pin(second.actor, cores[1])),
            learner_pid=pin(workers.learner.seats[0].actor, cores[1]),
        )

    def prompts(self) -> PromptSource:
        """From the first step on."""
        samples = {self.config.data.train: self.data.samples}
        return PromptSource(self.config, samples, self.processor, self.workers.videos, {})

    async def decode(self) -> None:
        """Put every step's videos into the cache, so that no way of ordering a step decodes for the others."""
        prompts = self.prompts()
        for step in range(1, self.config.grpo.steps + 1):
            await prompts.ready(step)
        prompts.close()

    def publisher(self, pool: GeneratorPool) -> WeightPublisher:
        return WeightPublisher(self.workers.learner.seats, pool.seats, self.config.sync)

    def trainer(self, pipeline: PipelineConfig) -> Trainer:
        """The run's own trainer with the first generator, in the order that `pipeline` gives a step."""
        config, workers, prompts = replace(self.config, pipeline=pipeline), self.workers, self.prompts()
        run = RunDirectory(Path(config.run.root) / config.run.name)
        run.create("")
        progress = ProgressDisplay(config.run.name, config.grpo.steps, 0, Console(quiet=True))
        return Trainer(
            config=config,
            phases=phases_of(config),
            run=run,
            checkpoint_folders=[],
            start=TrainerState(),
            prompts=prompts,
            sampler=Sampler(config, prompts, self.one, workers.reward_workers),
            learner=workers.learner,
            weights=WeightDelivery(workers.learner, self.one, config.sync),
            evaluator=None,
            occupation=workers.occupation,
            budget=workers.budget,
            guards=Guards(config.guards, say=progress.say),
            checkpoints=CheckpointWriter(run, workers.learner, config, progress.say),
            progress=progress,
            stop=StopSignal(progress.say, config.recovery.grace_s),
        )
