"""What `museg plan` prints: tables for people, one object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from rich.console import Console
from rich.table import Table

from museg.planning.group_work import repeated_work, shared_work
from museg.planning.memory import GeneratorMemory, LearnerMemory
from museg.planning.run_plan import RunPlan, Split
from museg.planning.step_time import StepTime
from museg.planning.warnings import warnings_of

_SPLITS_SHOWN = 6


def print_plan(plan: RunPlan, price: float | None, console: Console) -> None:
    """Print a plan: the step, memory, splits, the run, and what is wrong with it.

    Args:
        price: US dollars of a GPU for an hour, if known.
    """
    console.print(_step_table(plan.heaviest))
    console.print(_memory_table(plan))
    if plan.splits:
        console.print(_splits_table(plan))
    console.print(_phases_table(plan, price))
    for line in (*_assumptions(plan), *(f"warning: {warning}" for warning in warnings_of(plan))):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def plan_json(plan: RunPlan, price: float | None) -> Mapping[str, object]:
    """The plan's figures: seconds, bytes, and shares of 1."""
    step = plan.heaviest
    group = step.work.group
    return {
        "gpu": plan.gpu.name,
        "num_gpus": plan.num_gpus,
        "parameters": step.work.model.parameters,
        "prompt_tokens": group.prompt_tokens,
        "completion_tokens": group.completion_tokens,
        "group_size": group.group_size,
        "operations_per_group": _operations(plan),
        "step_s": step.seconds,
        "step_s_repeated": plan.repeated_step_s,
        "completions_per_s": step.completions_per_s,
        "idle_share": step.idle_share,
        "video_decode_s": step.videos,
        "parts": [
            {"part": p.name, "workers": p.workers, "seconds": p.seconds, "gpu_share": p.share} for p in step.parts
        ],
        "memory_bytes": {
            "gpu": plan.gpu.memory_gb * 1e9,
            "learner": _figures(plan.learner),
            "generator": {**_figures(plan.generator), "groups_at_once": plan.generator.groups_at_once},
        },
        "phases": [
            {"name": phase.name, "steps": phase.steps, "step_s": phase.step.seconds, "hours": phase.hours}
            for phase in plan.phases
        ],
        "hours": plan.hours,
        "gpu_hours": plan.gpu_hours,
        "cost_usd": None if price is None else plan.gpu_hours * price,
        "splits": [_split_figures(split) for split in plan.splits],
        "warnings": list(warnings_of(plan)),
    }


def _operations(plan: RunPlan) -> Mapping[str, float]:
    shared, repeated = shared_work(plan.heaviest.work), repeated_work(plan.heaviest.work)
    figures = {
        f"{part.name}_{way}": getattr(work, part.name).total
        for way, work in (("shared", shared), ("repeated", repeated))
        for part in fields(work)
    }
    return {**figures, "shared": shared.total, "repeated": repeated.total, "ratio": plan.sharing}


def _figures(memory: LearnerMemory | GeneratorMemory) -> Mapping[str, float]:
    return {part.name: getattr(memory, part.name) for part in fields(memory)} | {"total": memory.total}


def _split_figures(split: Split) -> Mapping[str, object]:
    config = split.ahead.work.config
    return {
        "generation_workers": config.generation.workers,
        "learner_ranks": config.learner.ranks,
        "groups_of_busiest_rank": split.ahead.work.groups_of_busiest_rank,
        "generate_s": split.ahead.generator.total,
        "learn_s": split.ahead.learner.total,
        "step_s_on_policy": split.on_policy.seconds,
        "step_s_ahead": split.ahead.seconds,
        "completions_per_s_on_policy": split.on_policy.completions_per_s,
        "completions_per_s_ahead": split.ahead.completions_per_s,
        "fits": split.fits,
    }


def _table(title: str, *headings: str) -> Table:
    """The first column is words, the others are figures."""
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    return table


def _step_table(step: StepTime) -> Table:
    table = _table(
        f"one step: {step.seconds:.1f} s, {step.completions_per_s:.2f} completions/s",
        "part",
        "workers",
        "seconds",
        "share of GPU time",
    )
    for part in step.parts:
        if part.seconds:
            table.add_row(part.name, str(part.workers), f"{part.seconds:.2f}", f"{part.share:.0%}")
    table.add_row("waiting for others", "", "", f"{step.idle_share:.0%}")
    rewards = step.work.config.reward.workers
    table.add_row("videos, on CPU beside it", str(rewards), f"{step.videos:.2f}", "")
    return table


def _memory_table(plan: RunPlan) -> Table:
    table = _table(f"memory of one {plan.gpu.name}, GB", "learner rank", "GB", "generation worker", "GB")
    table.columns[2].justify = "left"
    learner = [(part.name, getattr(plan.learner, part.name)) for part in fields(plan.learner)]
    left = [(name, size) for name, size in learner if size] + [("all", plan.learner.total)]
    generator = plan.generator
    right = [
        ("weights", generator.weights),
        ("reserve", generator.reserve),
        (f"KV cache ({generator.groups_at_once:.0f} groups at once)", generator.kv_cache),
        ("all", generator.total),
        ("a typical group's keys and values", generator.kv_typical_group),
        ("the longest group's", generator.kv_group),
    ]
    for row in range(max(len(left), len(right))):
        cells = [side[row] if row < len(side) else None for side in (left, right)]
        table.add_row(*(text for cell in cells for text in ((cell[0], f"{cell[1] / 1e9:.2f}") if cell else ("", ""))))
    return table


def _splits_table(plan: RunPlan) -> Table:
    table = _table(
        f"ways to split {plan.num_gpus} GPUs, completions/s at pipeline.staleness 0 and 1; the best at "
        f"{plan.heaviest.work.config.pipeline.staleness} first",
        "generators + ranks",
        "groups of busiest rank",
        "generate s",
        "learn s",
        "at 0",
        "at 1",
    )
    own = (plan.heaviest.work.config.generation.workers, plan.heaviest.work.config.learner.ranks)
    for split in plan.splits[:_SPLITS_SHOWN]:
        config = split.ahead.work.config
        workers = (config.generation.workers, config.learner.ranks)
        marks = (" (as configured)" if workers == own else "") + ("" if split.fits else " (too little memory)")
        table.add_row(
            f"{workers[0]} + {workers[1]}{marks}",
            str(split.ahead.work.groups_of_busiest_rank),
            f"{split.ahead.generator.total:.1f}",
            f"{split.ahead.learner.total:.1f}",
            f"{split.on_policy.completions_per_s:.2f}",
            f"{split.ahead.completions_per_s:.2f}",
        )
    return table


def _phases_table(plan: RunPlan, price: float | None) -> Table:
    table = _table("the run", "phase", "steps", "step s", "hours", "GPU hours", *(["USD"] if price is not None else []))
    rows = [(p.name, f"{p.steps:,}", f"{p.step.seconds:.1f}", p.hours) for p in plan.phases]
    if len(rows) > 1:
        rows.append(("all", f"{sum(p.steps for p in plan.phases):,}", "", plan.hours))
    for name, steps, seconds, hours in rows:
        gpu_hours = hours * plan.num_paid
        cost = [f"{gpu_hours * price:,.2f}"] if price is not None else []
        table.add_row(name, steps, seconds, f"{hours:.2f}", f"{gpu_hours:.1f}", *cost)
    return table


def _assumptions(plan: RunPlan) -> Iterator[str]:
    work, use = plan.heaviest.work, plan.efficiency
    group = work.group
    yield (
        f"{work.config.grpo.prompts_per_step} prompts of {group.prompt_tokens:,} tokens with videos of "
        f"{work.footage.duration_s:g} s, {group.group_size} completions each, all of {group.completion_tokens} tokens "
        "(of mixed lengths more overlaps at staleness 0); model of "
        f"{work.model.parameters / 1e9:.2f} billion parameters, {work.config.model.dtype.value}"
    )
    yield (
        f"one group: {shared_work(work).total / 1e12:,.3g} tera-operations but for decoding, "
        f"{plan.sharing:.2f} times fewer than with prompt and video anew for every completion: that way a step, phase "
        f"after phase, would take {plan.repeated_step_s:.1f} s"
    )
    yield (
        f"assumed: {use.compute:.0%} of the peak operations, {use.bandwidth:.0%} of the memory's bandwidth while "
        f"decoding, {use.link:.0%} of the links'; not counted: start, checkpoints, evaluation, clips found in the cache"
    )
