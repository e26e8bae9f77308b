"""Combinations that no run can have, found before Ray starts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.grpo.variants import loss_settings


def validate(config: Config) -> None:
    """Raise ConfigError naming the first key whose value, alone or beside another's, can't be run."""
    if config.phases:
        for complaint in _phases(config):
            raise ConfigError(complaint)
    for phase in phases_of(config):
        where = f"phases[{phase.index}] ({phase.name}): " if config.phases else ""
        for checks in (_run, _grpo, _generation, _rewards, _learner, _video, _rhythm, _recovery, _telemetry):
            for complaint in checks(phase.config):
                raise ConfigError(where + complaint)


def _phases(config: Config) -> Iterator[str]:
    names = [phase.name for phase in config.phases]
    for index, phase in enumerate(config.phases):
        yield from _at_least(f"phases[{index}].steps", phase.steps, 1)
        if phase.name in names[:index]:
            yield f"phases[{index}].name must be its own (got '{phase.name}' twice): reports tell phases by their names"
    if not config.phases[0].restart:
        yield "phases[0].restart must be true (got false): nothing runs before the first phase"


def _at_least(key: str, value: float, bound: float, why: str = "") -> Iterator[str]:
    if not math.isfinite(value) or value < bound:
        yield f"{key} must be at least {bound:g} (got {value:g}){': ' + why if why else ''}"


def _above_zero(key: str, value: float) -> Iterator[str]:
    if not math.isfinite(value) or value <= 0:
        yield f"{key} must be above 0 (got {value:g})"


def _fraction(key: str, value: float) -> Iterator[str]:
    if not 0 <= value <= 1:
        yield f"{key} must be between 0 and 1 (got {value:g})"


def _run(config: Config) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", config.run.name):
        yield f"run.name must be of letters, digits, '.', '_' and '-' (got '{config.run.name}'): it names a folder"
    yield from _at_least("seed", config.seed, 0)
    yield from _fraction("data.max_skipped_fraction", config.data.max_skipped_fraction)


def _grpo(config: Config) -> Iterator[str]:
    yield from _at_least("grpo.group_size", config.grpo.group_size, 2, "a group of one has no advantage")
    yield from _at_least("grpo.prompts_per_step", config.grpo.prompts_per_step, 1)
    yield from _at_least("grpo.steps", config.grpo.steps, 1)
    yield from _at_least("grpo.kl_beta", config.grpo.kl_beta, 0)
    yield from _above_zero("grpo.advantage_eps", config.grpo.advantage_eps)
    yield from _at_least("grpo.updates_per_rollout", config.grpo.updates_per_rollout, 1)
    yield from _at_least("grpo.max_resample_rounds", config.grpo.max_resample_rounds, 1)
    if config.grpo.importance_cap is not None:
        yield from _above_zero("grpo.importance_cap", config.grpo.importance_cap)
    yield from _clipping(config)


def _clipping(config: Config) -> Iterator[str]:
    loss, updates = loss_settings(config), config.grpo.updates_per_rollout
    if (loss.clip_low is None) != (loss.clip_high is None):
        missing, given = ("low", "high") if loss.clip_low is None else ("high", "low")
        yield f"grpo.clip_{missing} is missing beside grpo.clip_{given}: the ratio is clipped on both sides or on none"
    if loss.clip_low is not None:
        yield from _above_zero("grpo.clip_low", loss.clip_low)
        yield from _fraction("grpo.clip_low", loss.clip_low)
    if loss.clip_high is not None:
        yield from _above_zero("grpo.clip_high", loss.clip_high)
    if updates > 1 and not loss.clips:
        yield (
            f"grpo.updates_per_rollout={updates} needs a loss that clips, and grpo.variant={config.grpo.variant} "
            "doesn't: choose ppo, dapo, dr_grpo or gspo, or set grpo.clip_low and grpo.clip_high"
        )


def _generation(config: Config) -> Iterator[str]:
    generation = config.generation
    yield from _at_least("generation.workers", generation.workers, 1)
    yield from _most_workers("generation", generation.workers, generation.max_workers)
    yield from _at_least("generation.threads", generation.threads, 1)
    yield from _at_least("generation.max_sequences", generation.max_sequences, config.grpo.group_size, "a whole group")
    yield from _at_least("generation.tensor_parallel_size", generation.tensor_parallel_size, 1)
    yield from _at_least("generation.cpus", generation.cpus, 0)
    yield from _above_zero("generation.temperature", generation.temperature)
    yield from _above_zero("generation.kv_cache_gib", generation.kv_cache_gib)
    yield from _above_zero("generation.timeout_s", generation.timeout_s)
    yield from _fraction("generation.gpu_memory_utilization", generation.gpu_memory_utilization)
    if generation.top_p != 1.0:
        yield f"generation.top_p must be 1 (got {generation.top_p:g}): the learner scores the whole distribution"
    for key, tokens in (("generation.max_tokens", generation.max_tokens), ("eval.max_tokens", config.eval.max_tokens)):
        yield from _at_least(key, tokens, 1)
        if tokens >= generation.max_model_len:
            bound = f"generation.max_model_len ({generation.max_model_len})"
            yield f"{key} ({tokens}) must be below {bound}: the prompt needs room"


def _most_workers(role: str, workers: int, max_workers: int | None) -> Iterator[str]:
    if max_workers is not None:
        yield from _at_least(f"{role}.max_workers", max_workers, workers, f"{role}.workers, with which a run begins")


def _rewards(config: Config) -> Iterator[str]:
    yield from _at_least("reward.workers", config.reward.workers, 1)
    yield from _most_workers("reward", config.reward.workers, config.reward.max_workers)
    yield from _at_least("reward.cpus", config.reward.cpus, 0)
    yield from _above_zero("reward.timeout_s", config.reward.timeout_s)
    if not config.reward.functions:
        yield "reward.functions is empty: name at least one reward, such as segment_matching"
    # A function of the user's own weighs under its path or under its name alone.
    names = {*config.reward.functions, *(function.rpartition(":")[2] for function in config.reward.functions)}
    for name in config.reward.weights:
        if name not in names:
            functions = ", ".join(config.reward.functions)
            yield f"reward.weights names '{name}', which isn't among reward.functions ({functions})"


def _learner(config: Config) -> Iterator[str]:
    learner = config.learner
    yield from _at_least("learner.ranks", learner.ranks, 1)
    yield from _at_least("learner.threads", learner.threads, 1)
    yield from _at_least("learner.micro_batch_tokens", learner.micro_batch_tokens, 1)
    yield from _above_zero("learner.cpus", learner.cpus)
    yield from _at_least("learner.warmup_steps", learner.warmup_steps, 0)
    yield from _at_least("learner.weight_decay", learner.weight_decay, 0)
    yield from _above_zero("learner.lr", learner.lr)
    yield from _above_zero("learner.max_grad_norm", learner.max_grad_norm)
    yield from _above_zero("learner.timeout_s", learner.timeout_s)
    yield from _fraction("learner.final_lr_fraction", learner.final_lr_fraction)
    if learner.zero_stage not in (0, 1, 2, 3):
        yield f"learner.zero_stage must be 0, 1, 2 or 3 (got {learner.zero_stage})"
    if learner.ranks > config.grpo.prompts_per_step:
        yield (
            f"learner.ranks ({learner.ranks}) must not exceed grpo.prompts_per_step ({config.grpo.prompts_per_step}): "
            "a rank without a group would idle"
        )


def _video(config: Config) -> Iterator[str]:
    video = config.video
    yield from _above_zero("video.fps", video.fps)
    yield from _above_zero("video.decode_timeout_s", video.decode_timeout_s)
    yield from _above_zero("video.decode_memory_gib", video.decode_memory_gib)
    yield from _at_least("video.decode_attempts", video.decode_attempts, 1)
    yield from _above_zero("video.max_file_gib", video.max_file_gib)
    yield from _at_least("video.max_native_frames", video.max_native_frames, video.min_frames)
    yield from _at_least("video.max_native_pixels", video.max_native_pixels, 28 * 28)
    yield from _at_least("video.min_frames", video.min_frames, 2, "two frames make one visual token")
    for key, frames in (("video.max_frames", video.max_frames), ("video.eval_max_frames", video.eval_max_frames)):
        yield from _at_least(key, frames, video.min_frames)
    yield from _at_least("video.min_pixels", video.min_pixels, 28 * 28, "one visual token is 28 × 28 pixels")
    yield from _at_least("video.max_pixels", video.max_pixels, video.min_pixels)
    yield from _at_least("video.total_pixels", video.total_pixels, video.min_pixels)
    yield from _at_least("video.cache_gib", video.cache_gib, 0)
    yield from _above_zero("video.cache_dir_gib", video.cache_dir_gib)


def _rhythm(config: Config) -> Iterator[str]:
    yield from _at_least("pipeline.prefetch_steps", config.pipeline.prefetch_steps, 0)
    yield from _at_least("checkpoint.every_steps", config.checkpoint.every_steps, 1)
    yield from _at_least("checkpoint.keep", config.checkpoint.keep, 1)
    yield from _above_zero("checkpoint.timeout_s", config.checkpoint.timeout_s)
    yield from _at_least("eval.every_steps", config.eval.every_steps, 1)
    yield from _at_least("sync.bucket_mib", config.sync.bucket_mib, 1)
    yield from _above_zero("sync.timeout_s", config.sync.timeout_s)
    if config.eval.samples is not None:
        yield from _at_least("eval.samples", config.eval.samples, 1)
    yield from _at_least("pipeline.staleness", config.pipeline.staleness, 0)


def _recovery(config: Config) -> Iterator[str]:
    recovery, guards = config.recovery, config.guards
    yield from _at_least("recovery.max_restarts", recovery.max_restarts, 0)
    yield from _at_least("recovery.max_restarts_a_step", recovery.max_restarts_a_step, 0)
    yield from _at_least("recovery.snapshot_steps", recovery.snapshot_steps, 1)
    yield from _above_zero("recovery.heartbeat_s", recovery.heartbeat_s)
    yield from _above_zero("recovery.start_timeout_s", recovery.start_timeout_s)
    yield from _above_zero("recovery.grace_s", recovery.grace_s)
    yield from _at_least("guards.max_bad_steps", guards.max_bad_steps, 0)
    yield from _fraction("guards.min_entropy_fraction", guards.min_entropy_fraction)
    if guards.max_logprob_gap is not None:
        yield from _above_zero("guards.max_logprob_gap", guards.max_logprob_gap)


def _telemetry(config: Config) -> Iterator[str]:
    port = config.telemetry.port
    if port is not None and not 0 <= port <= 65535:
        yield f"telemetry.port must be between 0 (any that is free) and 65535, or null (got {port})"
