"""What would end a run, or make it dearer than it need be, told before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from museg.planning.run_plan import RunPlan

_UNEVEN = 1.25
"""Busiest rank's groups per even share, above which ranks wait too long."""


def warnings_of(plan: RunPlan) -> Iterator[str]:
    """One line each: what doesn't fit, by how much, and which keys mend it."""
    yield from _fleet(plan)
    yield from _learner(plan)
    yield from _context(plan)
    yield from _cache(plan)
    yield from _balance(plan)


def _fleet(plan: RunPlan) -> Iterator[str]:
    config, asked = plan.heaviest.work.config, plan.heaviest.work.num_gpus
    workers = (
        f"generation.workers {config.generation.workers} × tensor_parallel_size "
        f"{config.generation.tensor_parallel_size} + learner.ranks {config.learner.ranks}"
    )
    if asked > plan.num_gpus:
        yield f"too few GPUs: the workers ask for {asked} ({workers}) and {plan.num_gpus} are there: the run would wait"
    elif asked < plan.num_gpus:
        yield f"GPUs without work: the workers ask for {asked} ({workers}) of {plan.num_gpus}"


def _learner(plan: RunPlan) -> Iterator[str]:
    needed, work = plan.learner.total / 1e9, plan.heaviest.work
    if needed <= plan.gpu.memory_gb:
        return
    learner, ways = work.config.learner, []
    if learner.zero_stage < 3:
        ways.append(f"learner.zero_stage 3 (is {learner.zero_stage})")
    if not learner.gradient_checkpointing:
        ways.append("learner.gradient_checkpointing true")
    if work.groups_per_micro_batch > 1:
        ways.append(f"learner.micro_batch_tokens {work.group.tokens} (is {learner.micro_batch_tokens})")
    ways += [f"more learner.ranks (is {learner.ranks})", "policy.freeze_vision true"]
    yield (
        f"learner memory: a rank needs {needed:.1f} GB and {plan.gpu.name} has {plan.gpu.memory_gb:g}: "
        f"{', '.join(ways[:-1])} or {ways[-1]}"
    )


def _context(plan: RunPlan) -> Iterator[str]:
    work = plan.heaviest.work
    context, longest = work.config.generation.max_model_len, work.longest_prompt
    room, asked = context - work.group.prompt_tokens, work.completion_tokens
    if longest >= context:
        yield (
            f"context: a prompt of up to {longest} tokens fills generation.max_model_len {context}, and the run would "
            "end at it: raise it, or lower video.total_pixels"
        )
    if room < asked:
        yield (
            f"context: completions of {asked} tokens are cut at {max(room, 0)}, what the typical prompt of "
            f"{work.group.prompt_tokens} leaves of generation.max_model_len {context}: raise it"
        )


def _cache(plan: RunPlan) -> Iterator[str]:
    generation, memory = plan.heaviest.work.config.generation, plan.generator
    one = generation.max_model_len / plan.heaviest.work.group.tokens
    if memory.groups_at_once < one:
        yield (
            f"KV cache: {max(memory.kv_cache, 0) / 1e9:.1f} GB are left for it on {plan.gpu.name}, too few for one "
            f"sequence of generation.max_model_len {generation.max_model_len}, and vLLM wouldn't start: raise "
            f"generation.gpu_memory_utilization (is {generation.gpu_memory_utilization:g}) or tensor_parallel_size"
        )
    elif memory.kv_cache < memory.kv_group:
        yield (
            f"KV cache: {memory.kv_cache / 1e9:.1f} GB hold less than one group of the longest prompt and completions "
            f"({memory.kv_group / 1e9:.1f} GB), whose sequences would be computed again and again: lower "
            "generation.max_tokens, or raise gpu_memory_utilization or tensor_parallel_size"
        )


def _balance(plan: RunPlan) -> Iterator[str]:
    step = plan.heaviest
    work, config = step.work, step.work.config
    prompts, ranks = config.grpo.prompts_per_step, config.learner.ranks
    if work.groups_of_busiest_rank > _UNEVEN * prompts / ranks:
        yield (
            f"balance: of {prompts} groups the busiest of {ranks} ranks learns {work.groups_of_busiest_rank} and the "
            f"mean is {prompts / ranks:.1f}: make grpo.prompts_per_step a multiple of {ranks}, or change learner.ranks"
        )
    if step.videos >= step.seconds:
        most = math.ceil(step.videos * config.reward.workers / max(step.generator.total, step.learner.total))
        yield (
            f"videos: decoding a step's takes {step.videos:.1f} s on reward.workers {config.reward.workers}, longer "
            f"than all else: raise it to {most}, one core each"
        )
