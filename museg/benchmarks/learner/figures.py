"""The learner's ways side by side, on the same weights, video and completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from museg.benchmarks.learner.gaps import gradient_gap, take_gradients
from museg.benchmarks.learner.material import LearnerWork, make_material
from museg.benchmarks.learner.memory import measure_memory
from museg.benchmarks.learner.models import build_policy, plain_twin
from museg.benchmarks.learner.trl_way import TRLWay
from museg.benchmarks.learner.ways import learner_step, repeated_prompt, shared_prompt
from museg.benchmarks.timing import Timing, machine, ratio, side_by_side, torch_threads
from museg.planning.operations import learner_limit
from museg.policy.model import PackedPolicy

TABLE_GROUP_SIZES = (2, 4, 8, 16)


def measure_learner(work: LearnerWork, *, repeats: int, table: bool, memory: bool, trl: bool) -> Mapping[str, object]:
    """Figures of `museg bench learner`, by name.

    Args:
        work: what to measure.
        repeats: timed steps of each way, after the one whose results are compared.
        table: also naive against ours over several group sizes.
        memory: also peak memory, in fresh processes.
        trl: also TRL's trainer.
    """
    figures: dict[str, object] = {
        "model_shape": work.model_shape,
        "prompt_tokens": work.prompt_tokens,
        "visual_tokens": work.visual_tokens,
        "completion_tokens": work.completion_tokens,
        "group_size": work.group_size,
        "dtype": str(work.dtype).removeprefix("torch."),
        "gradient_checkpointing": work.gradient_checkpointing,
        "with_reference": work.with_reference,
        "naive": "rows of prompt and completion, unpadded; logits at completions alone",
    }
    if memory:
        figures.update(measure_memory(work))
    with torch_threads(work.threads):
        policy = build_policy(work)
        figures["parameters_m"] = sum(parameter.numel() for parameter in policy.parameters()) / 1e6
        figures.update(_compared(policy, work, repeats=repeats, trl=trl))
        if table:
            figures["groups"] = [
                _row(policy, replace(work, group_size=group_size), repeats=repeats) for group_size in TABLE_GROUP_SIZES
            ]
        return figures | machine(*(["trl"] if trl else []))


def _compared(policy: PackedPolicy, work: LearnerWork, *, repeats: int, trl: bool) -> Mapping[str, object]:
    """Ours beside the naive way and, if asked for, TRL's: first the same results, then the times."""
    material = make_material(work)
    steps = _steps(policy, work)
    logprobs, gradients = {}, {}
    for name, step in steps.items():
        logprobs[name], gradients[name] = step(), take_gradients(policy)
    timed: dict[str, Callable[[], object]] = dict(steps)
    if trl:
        peer = TRLWay(plain_twin(policy, work), material, work)
        timed["trl"] = peer.step
        peer.step()
        logprobs["trl"], gradients["trl"] = peer.logprobs(), take_gradients(policy)
    figures = _ratios(work, side_by_side(timed, repeats=repeats, warmups=0))
    for name, prefix in (("naive", ""), ("trl", "trl_")):
        if name in timed:
            figures[f"{prefix}logprob_gap"] = float((logprobs["ours"] - logprobs[name]).abs().max())
            figures[f"{prefix}gradient_gap"] = gradient_gap(gradients["ours"], gradients[name])
    return figures


def _ratios(work: LearnerWork, timings: Mapping[str, Timing]) -> dict[str, object]:
    """Times with their ranges, and what follows from them.

    A share above 1 isn't a slip: the limit counts operations alone, and the naive way also spends more on each, since
    activations of G rows leave the caches, on a CPU come as fresh pages from the kernel at every step, and its tower
    cuts patches by a convolution and attends window by window.
    """
    figures: dict[str, object] = {}
    for name, timing in timings.items():
        figures.update(timing.figures(name))
    against_naive, limit = ratio(timings["naive"], timings["ours"]), _limit(work)
    figures.update(ratio_vs_naive=against_naive, limit=limit, share_of_limit=against_naive / limit)
    # Of CPU time, which neighbours on the machine disturb less.
    figures["cpu_ratio_vs_naive"] = median(timings["naive"].cpu_seconds) / median(timings["ours"].cpu_seconds)
    if "trl" in timings:
        figures["ratio_vs_trl"] = ratio(timings["trl"], timings["ours"])
        figures["trl_input"] = "the video's patches as one image of the same grid"
    return figures


def _row(policy: PackedPolicy, work: LearnerWork, *, repeats: int) -> Mapping[str, object]:
    """Of the table: one group size."""
    timings = side_by_side(_steps(policy, work), repeats=repeats, warmups=1)
    against_naive, limit = ratio(timings["naive"], timings["ours"]), _limit(work)
    return {
        "G": work.group_size,
        "naive_s": timings["naive"].median_s,
        "ours_s": timings["ours"].median_s,
        "ratio": against_naive,
        "limit": limit,
        "share_of_limit": against_naive / limit,
    }


def _steps(policy: PackedPolicy, work: LearnerWork) -> dict[str, Callable[[], torch.Tensor]]:
    """The two ways, on the same parameters."""
    material, parameters = make_material(work), list(policy.parameters())
    ways = {
        "naive": repeated_prompt(plain_twin(policy, work), material),
        "ours": shared_prompt(policy, material),
    }
    return {name: partial(learner_step, scores, material, parameters, work) for name, scores in ways.items()}


def _limit(work: LearnerWork) -> float:
    """Operations of the naive way over those of ours, attention included.

    A reference's forward is shared alike, so the limit of both together lies within 1% of this one.
    """
    return learner_limit(
        work.config(),
        prompt_tokens=work.prompt_tokens,
        completion_tokens=work.completion_tokens,
        group_size=work.group_size,
        video=work.video,
        gradient_checkpointing=work.gradient_checkpointing,
    )
