"""A whole run: every phase's step, memory, money, and the ways to split the GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.planning.gpus import GPU, Efficiency
from museg.planning.group_work import repeated_work, shared_work
from museg.planning.memory import GeneratorMemory, LearnerMemory, generator_memory, learner_memory
from museg.planning.model_shape import ModelShape
from museg.planning.step_time import StepTime, repeated_step_s, step_time
from museg.planning.workload import Footage, Workload

DEFAULT_COMPLETION_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """One phase of the run."""

    name: str
    steps: int
    step: StepTime

    @property
    def hours(self) -> float:
        return self.steps * self.step.seconds / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A way to spread the GPUs."""

    on_policy: StepTime
    """Streaming, at staleness 0."""
    ahead: StepTime
    """Generation a step ahead of learning."""
    fits: bool
    """The learner's memory suffices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The estimate of a run."""

    gpu: GPU
    efficiency: Efficiency
    num_gpus: int
    """At hand."""
    phases: Sequence[PhasePlan]
    learner: LearnerMemory
    generator: GeneratorMemory
    splits: Sequence[Split]
    """All splits of `num_gpus`, the fastest first at the configured staleness."""

    @property
    def heaviest(self) -> StepTime:
        """The step of the slowest phase: memory and splits are its."""
        return _heaviest(self.phases)

    @property
    def hours(self) -> float:
        return sum(phase.hours for phase in self.phases)

    @property
    def num_paid(self) -> int:
        """GPUs that the run takes: all at hand, or what its workers ask for if that is more."""
        return max(self.num_gpus, self.heaviest.work.num_gpus)

    @property
    def gpu_hours(self) -> float:
        return self.hours * self.num_paid

    @property
    def sharing(self) -> float:
        """How many times fewer operations a step takes than with prompt and video anew for every completion."""
        work = self.heaviest.work
        return repeated_work(work).total / shared_work(work).total

    @property
    def repeated_step_s(self) -> float:
        """The step of the naive way on the same workers."""
        return repeated_step_s(self.heaviest.work, self.gpu, self.efficiency)


def plan_run(
    config: Config,
    model: ModelShape,
    gpu: GPU,
    *,
    efficiency: Efficiency,
    footage: Footage,
    completion_tokens: int | None = None,
    num_gpus: int | None = None,
) -> RunPlan:
    """Estimate a run.

    Args:
        completion_tokens: mean of a completion; None is 256, or `generation.max_tokens` if that is less.
        num_gpus: at hand; None is what the workers ask for.

    Raises:
        ConfigError: completions longer than `generation.max_tokens`, empty ones, or less than one GPU.
    """
    tokens = _completion_tokens(config, completion_tokens)
    phases = []
    for phase in phases_of(config):
        work = Workload(config=phase.config, model=model, footage=footage, completion_tokens=tokens)
        steps = phase.last_step - phase.first_step + 1
        phases.append(PhasePlan(name=phase.name, steps=steps, step=step_time(work, gpu, efficiency)))
    work = _heaviest(phases).work
    if num_gpus is not None and num_gpus < 1:
        raise ConfigError(f"plan: --gpus must be at least 1 (got {num_gpus})")
    at_hand = work.num_gpus if num_gpus is None else num_gpus
    return RunPlan(
        gpu=gpu,
        efficiency=efficiency,
        num_gpus=at_hand,
        phases=phases,
        learner=learner_memory(work),
        generator=generator_memory(work, gpu),
        splits=_splits(work, gpu, efficiency, at_hand),
    )


def _completion_tokens(config: Config, asked: int | None) -> int:
    most = config.generation.max_tokens
    if asked is None:
        return min(DEFAULT_COMPLETION_TOKENS, most)
    if not 1 <= asked <= most:
        raise ConfigError(f"plan: --completion-tokens must be from 1 to generation.max_tokens, {most} (got {asked})")
    return asked


def _heaviest(phases: Sequence[PhasePlan]) -> StepTime:
    return max((phase.step for phase in phases), key=lambda step: step.seconds)


def _splits(work: Workload, gpu: GPU, efficiency: Efficiency, num_gpus: int) -> list[Split]:
    parallel = work.config.generation.tensor_parallel_size
    splits = []
    for workers in range(1, num_gpus // parallel + 1):
        ranks = num_gpus - workers * parallel
        if 1 <= ranks <= work.config.grpo.prompts_per_step:
            on_policy, ahead = (_with_workers(work, workers, ranks, staleness) for staleness in (0, 1))
            splits.append(
                Split(
                    on_policy=step_time(on_policy, gpu, efficiency),
                    ahead=step_time(ahead, gpu, efficiency),
                    fits=learner_memory(ahead).total <= gpu.memory_gb * 1e9,
                )
            )
    stale = work.config.pipeline.staleness > 0
    return sorted(splits, key=lambda split: (split.ahead if stale else split.on_policy).seconds)


def _with_workers(work: Workload, workers: int, ranks: int, staleness: int) -> Workload:
    config = replace(
        work.config,
        generation=replace(work.config.generation, workers=workers),
        learner=replace(work.config.learner, ranks=ranks),
        pipeline=replace(work.config.pipeline, staleness=staleness, streaming=True),
    )
    return replace(work, config=config)
