"""How long a step takes, part by part, and who waits."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from museg.planning.gpus import GPU, Efficiency
from museg.planning.group_work import repeated_work, shared_work
from museg.planning.memory import generator_memory
from museg.planning.operations import decode_bytes
from museg.planning.workload import Workload

VIDEO_DECODE_S = 0.016
"""CPU seconds to decode one second of 640 × 480 pixels at 30 frames a second on one core (`museg bench decode`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerTime:
    """Seconds of the busiest rank in one step."""

    tower: float
    """Policy: forward and backward of the vision tower; where it is frozen, its one forward for all consumers."""
    language_model: float
    """Policy: forward and backward of the layers, and of the logits."""
    reference: float
    gathering: float
    """ZeRO-3's traffic where it takes longer than the operations that hide it."""

    @property
    def total(self) -> float:
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorTime:
    """Seconds of the busiest generation worker in one step."""

    prefill: float
    """Prompts with their videos."""
    decode: float
    waves: int
    """Times that the sequences which fit at once grow from start to end."""

    @property
    def total(self) -> float:
        return self.prefill + self.decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the step."""

    name: str
    workers: int
    """That do it."""
    seconds: float
    """Of the busiest of them."""
    share: float
    """Of all GPUs' time in the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One step under one split of the GPUs."""

    work: Workload
    learner: LearnerTime
    generator: GeneratorTime
    sync: float
    videos: float
    """Decoding on CPU, beside everything else."""

    @property
    def seconds(self) -> float:
        """Of a step at the configured staleness: generation and learning side by side where generation may run ahead,
        overlapping wave by wave where groups stream, one after the other otherwise."""
        generate, learn = self.generator.total, self.learner.total
        if self.work.config.pipeline.staleness > 0:
            both = max(generate, learn)
        else:
            # Two stages that hand on `waves` equal parts; a single wave ends at once, and nothing overlaps.
            waves = self.generator.waves if self.work.config.pipeline.streaming else 1
            both = (generate + learn + (waves - 1) * max(generate, learn)) / waves
        return max(both + self.sync, self.videos)

    @property
    def completions_per_s(self) -> float:
        return self.work.num_completions / self.seconds

    @property
    def parts(self) -> list[Part]:
        """What the GPUs do; the rest of their time is `idle_share`. Ranks and engines with less than the busiest one's
        share have idle time too."""
        config, seconds = self.work.config, self.seconds
        prompts, ranks = config.grpo.prompts_per_step, config.learner.ranks
        learning = prompts / self.work.groups_of_busiest_rank / self.work.num_gpus / seconds
        workers, parallel = config.generation.workers, config.generation.tensor_parallel_size
        generating = prompts * parallel / self.work.groups_of_busiest_worker / self.work.num_gpus / seconds
        learner, generator = self.learner, self.generator
        return [
            Part(name="policy, vision tower", workers=ranks, seconds=learner.tower, share=learner.tower * learning),
            Part(
                name="policy, language model",
                workers=ranks,
                seconds=learner.language_model,
                share=learner.language_model * learning,
            ),
            Part(name="reference", workers=ranks, seconds=learner.reference, share=learner.reference * learning),
            Part(name="waiting for ZeRO-3", workers=ranks, seconds=learner.gathering, share=0.0),
            Part(name="prefill", workers=workers, seconds=generator.prefill, share=generator.prefill * generating),
            Part(name="decode", workers=workers, seconds=generator.decode, share=generator.decode * generating),
            Part(name="weight sync", workers=ranks + workers, seconds=self.sync, share=self.sync / seconds),
        ]

    @property
    def idle_share(self) -> float:
        """Of all GPUs' time."""
        return 1 - sum(part.share for part in self.parts)


def step_time(work: Workload, gpu: GPU, efficiency: Efficiency) -> StepTime:
    """The step of a workload on its own workers."""
    reward = work.config.reward
    return StepTime(
        work=work,
        learner=_learner_time(work, gpu, efficiency),
        generator=_generator_time(work, gpu, efficiency),
        sync=_sync_time(work, gpu, efficiency),
        videos=work.config.grpo.prompts_per_step * work.footage.duration_s * VIDEO_DECODE_S / reward.workers,
    )


def repeated_step_s(work: Workload, gpu: GPU, efficiency: Efficiency) -> float:
    """Seconds of the naive step on the same workers: prompt and video anew for every completion, phase after phase."""
    own, each = step_time(work, gpu, efficiency), repeated_work(work)
    rate = gpu.peak(work.config.model.dtype) * efficiency.compute
    learner = work.groups_of_busiest_rank * (each.policy.total + each.reference.total) / rate
    parallel = work.config.generation.tensor_parallel_size
    prompts = work.groups_of_busiest_worker * each.prefill.total / (rate * parallel)
    return learner + prompts + own.generator.decode + own.sync


def _learner_time(work: Workload, gpu: GPU, efficiency: Efficiency) -> LearnerTime:
    each, groups = shared_work(work), work.groups_of_busiest_rank
    rate = gpu.peak(work.config.model.dtype) * efficiency.compute
    tower = groups * (each.policy.tower + each.embedding.total) / rate
    language_model = groups * (each.policy.text + each.policy.logits) / rate
    reference = groups * each.reference.total / rate
    traffic = _gathered_bytes(work) / (gpu.link_gb_per_s * 1e9 * efficiency.link)
    return LearnerTime(
        tower=tower,
        language_model=language_model,
        reference=reference,
        gathering=max(traffic - tower - language_model - reference, 0.0),
    )


def _gathered_bytes(work: Workload) -> float:
    """That a rank of ZeRO-3 receives in a step: weights for every forward and backward, gradients reduced."""
    learner = work.config.learner
    if learner.zero_stage < 3:
        return 0.0
    model = work.model.text.parameters if work.config.policy.freeze_vision else work.model.parameters
    passes = 3 * work.config.grpo.updates_per_rollout + work.has_reference
    return work.micro_batches_of_busiest_rank * passes * _others(learner.ranks) * model * work.bytes_per_value


def _generator_time(work: Workload, gpu: GPU, efficiency: Efficiency) -> GeneratorTime:
    generation, group = work.config.generation, work.group
    parallel = generation.tensor_parallel_size
    groups = work.groups_of_busiest_worker
    sequences = groups * group.group_size
    held = max(generator_memory(work, gpu).groups_at_once, 1.0) * group.group_size
    at_once = min(sequences, generation.max_sequences, int(held))
    waves = math.ceil(sequences / at_once)
    prompt = shared_work(work).prefill
    read = decode_bytes(
        work.model.text,
        sequences=sequences / waves,
        context=group.prompt_tokens + group.completion_tokens / 2,
        bytes_per_value=work.bytes_per_value,
    )
    bandwidth = gpu.memory_gb_per_s * 1e9 * efficiency.bandwidth * parallel
    return GeneratorTime(
        prefill=groups * prompt.total / (gpu.peak(work.config.model.dtype) * efficiency.compute * parallel),
        decode=waves * group.completion_tokens * read / bandwidth,
        waves=waves,
    )


def _sync_time(work: Workload, gpu: GPU, efficiency: Efficiency) -> float:
    """Every weight that changed is gathered from the ranks, then sent to all generators at once."""
    learner = work.config.learner
    model = work.model.text.parameters if work.config.policy.freeze_vision else work.model.parameters
    gathered = _others(learner.ranks) if learner.zero_stage == 3 else 0.0
    return (1 + gathered) * model * work.bytes_per_value / (gpu.link_gb_per_s * 1e9 * efficiency.link)


def _others(ranks: int) -> float:
    """Share of sharded weights that a rank gets from elsewhere."""
    return (ranks - 1) / ranks
