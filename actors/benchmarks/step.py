"""Whole GRPO steps by the service, beside TRL's on the same model, prompts and sampling."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.benchmarks.cores import on_cores
from actors.benchmarks.material import BenchData, ModelShape, build_model_folder, make_data, prompt_shape
from actors.launch import run_training
from museg.config.choices import DType, Schedule
from museg.config.schema import (
    CheckpointConfig,
    Config,
    DataConfig,
    GenerationConfig,
    GRPOConfig,
    LearnerConfig,
    ModelConfig,
    RewardConfig,
    RunConfig,
)
from museg.runs.directory import RunDirectory

NUM_CORES = 2
"""Of each side. The service's generator and its learner have a thread on each and mostly take turns; TRL is one process
with a thread on each."""
WARMUPS = 1
"""First steps of each side, which don't count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """One step: so many prompts of one length, G completions each."""

    prompt_tokens: int
    completion_tokens: int
    """The longest completion."""
    group_size: int
    num_prompts: int
    repeats: int
    """Steps that count."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds of one side's steps, one entry a step that counts."""

    step_s: Sequence[float]
    generate_s: Sequence[float]
    learn_s: Sequence[float]
    decode_s: Sequence[float]
    """Videos and rewards."""
    tokens_mean: float
    """Length of a completion."""

    def figures(self, side: str, num_completions: int) -> dict[str, float]:
        step_s = statistics.median(self.step_s)
        return {
            f"{side}_completions_per_s": num_completions / step_s,
            f"{side}_step_s": step_s,
            f"{side}_step_s_min": min(self.step_s),
            f"{side}_step_s_max": max(self.step_s),
            f"{side}_tokens_mean": self.tokens_mean,
        }


def measure_step(shape: StepShape, work: Path) -> dict[str, object]:
    """Steps of both sides, one side after the other, each on the same cores; `work` is an empty folder.

    Both sample at temperature 1 up to `completion_tokens`, with the same tokens that end a completion, hold on to a KL
    reference and make one optimizer step on all groups; float32, no checkpointing of activations.

    Raises:
        ConfigError: the shape can't be had, or the machine has too few cores.
    """
    # Here, because it needs the extra `bench`.
    from actors.benchmarks.trl_step import trl_steps

    model = build_model_folder(work / "model", ModelShape(), seed=shape.seed)
    processor = Qwen2_5_VLProcessor.from_pretrained(model)
    num_samples = shape.num_prompts * (WARMUPS + shape.repeats)
    data = make_data(
        work / "data", processor, prompt_shape(processor.tokenizer, shape.prompt_tokens), num_samples, seed=shape.seed
    )
    config = step_config(shape, model, data, work)
    with on_cores(NUM_CORES):
        run_training(config, Console(quiet=True))
        rows = cast(list[dict[str, float]], RunDirectory(work / config.run.name).read_metrics())
        ours = _times(rows[WARMUPS:])
        trl = trl_steps(config, data, processor, work / "trl", threads=NUM_CORES)
    num_completions = shape.num_prompts * shape.group_size
    theirs = StepTimes(
        step_s=trl.step_s[WARMUPS:],
        generate_s=trl.generate_s[WARMUPS:],
        learn_s=trl.learn_s[WARMUPS:],
        decode_s=trl.reward_s[WARMUPS:],
        tokens_mean=statistics.fmean(trl.num_tokens[WARMUPS:]) / num_completions,
    )
    return {
        "prompt_tokens": {"museg": data.shape.num_tokens, "trl": max(trl.prompt_tokens)},
        "ratio_vs_trl": statistics.median(theirs.step_s) / statistics.median(ours.step_s),
        **ours.figures("museg", num_completions),
        **theirs.figures("trl", num_completions),
        "factors": factors(ours, theirs),
    }


def step_config(shape: StepShape, model: Path, data: BenchData, work: Path) -> Config:
    """A run of the shape's steps, every prompt met once."""
    return Config(
        seed=shape.seed,
        run=RunConfig(name="bench-step", root=str(work)),
        model=ModelConfig(path=str(model), dtype=DType.float32),
        data=DataConfig(train=str(data.file), video_root=str(data.video_root)),
        video=data.shape.video_config(),
        grpo=GRPOConfig(group_size=shape.group_size, prompts_per_step=shape.num_prompts, steps=WARMUPS + shape.repeats),
        generation=GenerationConfig(
            temperature=1.0,
            max_tokens=shape.completion_tokens,
            max_model_len=shape.prompt_tokens + shape.completion_tokens,
            threads=NUM_CORES,
            cpus=0.5,
        ),
        reward=RewardConfig(workers=1, cpus=0.1),
        learner=LearnerConfig(
            zero_stage=2,
            lr=1e-5,
            schedule=Schedule.constant,
            gradient_checkpointing=False,
            threads=NUM_CORES,
            cpus=0.5,
        ),
        checkpoint=CheckpointConfig(keep=1),
    )


def _times(rows: Sequence[Mapping[str, float]]) -> StepTimes:
    """From metrics.jsonl; what an actor was busy with, since learning begins while others are still sampled."""

    def busy_s(actor: str) -> list[float]:
        return [(1 - row[f"idle/{actor}"]) * row["time/step_s"] for row in rows]

    return StepTimes(
        step_s=[row["time/step_s"] for row in rows],
        generate_s=busy_s("generation-0"),
        learn_s=busy_s("learner-0"),
        decode_s=busy_s("reward-0"),
        tokens_mean=statistics.fmean(row["completion/tokens_mean"] for row in rows),
    )


def factors(ours: StepTimes, theirs: StepTimes) -> list[dict[str, object]]:
    """Seconds of a step by what they are spent on, medians, with each one's share of its side's step.

    The service's overlap, so its shares may exceed 1 together. TRL is given frames that were decoded beforehand: its
    decoding is its rewards alone.
    """
    rows = []
    for name, one, other in (
        ("generation", ours.generate_s, theirs.generate_s),
        ("learner", ours.learn_s, theirs.learn_s),
        ("decode and reward", ours.decode_s, theirs.decode_s),
    ):
        museg_s, trl_s = statistics.median(one), statistics.median(other)
        rows.append(
            {
                "factor": name,
                "museg_s": museg_s,
                "trl_s": trl_s,
                "ratio": trl_s / max(museg_s, 1e-9),
                "museg_share": museg_s / statistics.median(ours.step_s),
                "trl_share": trl_s / statistics.median(theirs.step_s),
            }
        )
    return rows
