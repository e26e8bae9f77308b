"""A run's sampling without its learning, as a command: what a model says to the training prompts, and what it earns."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.cluster import ray_session, reserved_and_offered
from actors.progress import counting_bar
from actors.records import rollout_rows
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from actors.stopping import cancel_on_signal
from actors.workers import start_inference_workers, without_learner
from museg.config.choices import ZeroVariance
from museg.config.loading import dump_config
from museg.config.phases import phase_at, phases_of
from museg.config.schema import Config
from museg.data.samples import Sample, read_samples
from museg.errors import ConfigError
from museg.policy.loading import check_model_folder
from museg.rewards.scoring import Scorer
from museg.runs.directory import RunDirectory

Rows = Sequence[Mapping[str, object]]

_DECIDING = (
    *("seed", "model", "data.train", "data.template", "video", "reward.preset", "reward.rules", "reward.functions"),
    *("reward.weights", "grpo.group_size", "grpo.prompts_per_step", "phases", "generation.temperature"),
    *("generation.top_p", "generation.max_tokens", "generation.max_model_len"),
)
"""Keys of the configuration on which completions and their rewards depend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """A reward's mean over the completions, and over the groups' best."""

    mean: float
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSummary:
    """What a model's completions earned."""

    num_groups: int
    num_completions: int
    truncated_fraction: float
    """Of the completions, those that were cut at `generation.max_tokens`."""
    flat_fraction: float
    """Of the groups, those whose rewards are all equal: GRPO learns nothing from them."""
    rewards: Mapping[str, Earned]
    """By name; `total` is all of them together."""

    @classmethod
    def of(cls, groups: Sequence[Rows]) -> RolloutSummary:
        """Of rows as rollout files hold them, at least one group."""
        rows = [row for group in groups for row in group]
        return cls(
            num_groups=len(groups),
            num_completions=len(rows),
            truncated_fraction=statistics.fmean(row["finish_reason"] == "length" for row in rows),
            flat_fraction=statistics.fmean(not any(_number(row["advantage"]) for row in group) for group in groups),
            rewards={
                name: Earned(
                    mean=statistics.fmean(_earned(row, name) for row in rows),
                    best=statistics.fmean(max(_earned(row, name) for row in group) for group in groups),
                )
                for name in ("total", *_rewards(rows[0]))
            },
        )


def run_rollouts(config: Config, num_steps: int | None, folder: Path, console: Console) -> RolloutSummary:
    """Sample the prompts of a run's first steps with the model as it stands, into `folder`/rollouts/step-NNNNNN.jsonl.

    Prompts, seeds and rewards are those that the run itself would have if no step changed the weights. Steps whose file
    is there are not sampled again.

    Args:
        config: of the run; `model.path` is sampled from.
        num_steps: at most `grpo.steps`; by default as many as show each sample of the first phase once, or all.
        folder: made if missing.
        console: shown how far it is.

    Raises:
        UserError: data, videos or model can't be used, or the folder holds rollouts of another configuration.
        KeyboardInterrupt: SIGINT or SIGTERM came; finished steps are kept.
    """
    phases = phases_of(config)
    for phase in phases:
        Scorer.from_config(phase.config.reward)
    check_model_folder(Path(config.model.path))
    samples = {file: read_samples(Path(file)) for file in sorted({phase.config.data.train for phase in phases})}
    epoch = math.ceil(len(samples[phases[0].config.data.train]) / config.grpo.prompts_per_step)
    last_step = min(num_steps or epoch, config.grpo.steps)
    output = RunDirectory(folder)
    _claim(output, config)
    missing = [step for step in range(1, last_step + 1) if not output.rollouts_file(step).is_file()]
    if missing:
        _sample(config, samples, missing, output, console)
    return RolloutSummary.of([group for step in range(1, last_step + 1) for group in _groups(output, step)])


def _claim(output: RunDirectory, config: Config) -> None:
    """Note the configuration in the folder, or see that the one noted there samples the same. Raises ConfigError."""
    if not output.config_file.is_file():
        if output.path.is_dir() and any(output.path.iterdir()):
            raise ConfigError(f"{output.path} holds other things: choose another --output")
        output.create(dump_config(config))
        return
    then, now = OmegaConf.load(output.config_file), OmegaConf.create(dump_config(config))
    differing = [key for key in _DECIDING if OmegaConf.select(then, key) != OmegaConf.select(now, key)]
    if differing:
        raise ConfigError(
            f"{output.path} holds rollouts of a configuration with another {', '.join(differing)}: choose another "
            "--output, or remove the folder"
        )


def _sample(
    config: Config, samples: Mapping[str, list[Sample]], steps: Sequence[int], output: RunDirectory, console: Console
) -> None:
    # Flat groups are what one wants to see, not to have replaced.
    config = replace(without_learner(config, "rollout"), grpo=replace(config.grpo, zero_variance=ZeroVariance.keep))
    with ray_session(config):
        try:
            asyncio.run(_roll_out(config, samples, steps, output, console))
        except asyncio.CancelledError:
            console.print(f"finished steps are kept in {output.path}: the same command goes on", soft_wrap=True)
            raise KeyboardInterrupt from None


async def _roll_out(
    config: Config, samples: Mapping[str, list[Sample]], steps: Sequence[int], output: RunDirectory, console: Console
) -> None:
    cancel_on_signal()
    console.print(f"starting workers: {reserved_and_offered(config)}", highlight=False, soft_wrap=True)
    workers = await start_inference_workers(config)
    processor = Qwen2_5_VLProcessor.from_pretrained(config.model.path)
    prompts = PromptSource(config, samples, processor, workers.videos, {}, output.append_skipped)
    sampler = Sampler(config, prompts, workers.generators, workers.reward_workers)
    phases = phases_of(config)
    with counting_bar(console) as progress:
        task = progress.add_task("groups", total=len(steps) * config.grpo.prompts_per_step)
        for step in steps:
            sampler.sample(step, phase_at(phases, step))
            rollouts = sampler.take(step)
            async for _ in rollouts:
                progress.advance(task)
            output.write_rollouts(step, rollout_rows(step, rollouts.harvest))


def _groups(output: RunDirectory, step: int) -> Iterable[Rows]:
    groups: dict[object, list[Mapping[str, object]]] = {}
    for row in output.read_rollouts(step):
        groups.setdefault(row["idx"], []).append(row)
    return groups.values()


def _earned(row: Mapping[str, object], name: str) -> float:
    return _number(row["reward"]) if name == "total" else _number(_rewards(row)[name])


def _rewards(row: Mapping[str, object]) -> Mapping[str, object]:
    rewards = row["rewards"]
    assert isinstance(rewards, dict)
    return rewards


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)
