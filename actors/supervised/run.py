"""A whole supervised run: inputs checked, reward workers and learner started, trained, summed up."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ray.util.placement_group import PlacementGroup
from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.checkpointing.writer import CheckpointWriter
from actors.cluster import ray_session, reserved_and_offered, run_directory
from actors.ending import Outcome, already_complete, sum_up
from actors.faults.budget import RestartBudget, replaced_by_role
from actors.faults.own_node import while_node_lives
from actors.guards.watch import Guards
from actors.lives import until_it_ends
from actors.progress import ProgressDisplay, sft_headline
from actors.resuming import StartingPoint, starting_point
from actors.rollout.prompt_source import PromptSource
from actors.stopping import StopSignal, until_interrupted
from actors.supervised.trainer import SupervisedTrainer
from actors.telemetry.moment import Sources
from actors.telemetry.outside import require_packages
from actors.telemetry.telemetry import Telemetry, run_telemetry
from actors.under_way import under_way
from actors.workers import SupervisedWorkers, learner_placement, start_supervised_workers
from museg.config.loading import dump_config
from museg.config.schema import Config
from museg.data.samples import Sample, read_samples
from museg.data.targets import target_text
from museg.interruption import terminating_as_interrupted
from museg.policy.loading import check_model_folder
from museg.runs.directory import RunDirectory
from museg.runs.lock import RunLock
from museg.runs.summary import Status, Summary


def run_supervised(config: Config, console: Console) -> Summary:
    """Fine-tune on the samples' targets; the run directory ends up as one of `museg train` without rollouts.

    Args:
        config: of `load_supervised_config`.
        console: shows the progress.

    Raises:
        UserError: the configuration, the data, the videos or the model can't be used.
    """
    run = run_directory(config)
    require_packages(config.telemetry)
    check_model_folder(Path(config.model.path))
    samples = read_samples(Path(config.data.train))
    for sample in samples:
        target_text(sample)  # a response that can't be taught is told now, not at the step that draws it
    with closing(RunLock(run.path)) as lock:
        lock.take()
        return until_it_ends(config, run, lambda again: _held_run(again, run, samples, lock, console), console)


def _held_run(config: Config, run: RunDirectory, samples: list[Sample], lock: RunLock, console: Console) -> Summary:
    start = starting_point(config, run, command="sft")
    if summary := already_complete(config, run, start, console):
        return summary
    placed = replace(config, generation=replace(config.generation, workers=0))
    # Ray sets a handler of its own.
    with ray_session(placed), terminating_as_interrupted(), learner_placement(placed) as placement:
        return until_interrupted(_run(config, placed, run, samples, start, placement, lock, console))


async def _run(
    config: Config,
    placed: Config,
    run: RunDirectory,
    samples: list[Sample],
    start: StartingPoint,
    placement: PlacementGroup,
    lock: RunLock,
    console: Console,
) -> Summary:
    progress = ProgressDisplay(config.run.name, config.grpo.steps, start.state.step, console, sft_headline)
    stop = StopSignal(progress.say, config.recovery.grace_s)
    stop.install()
    with run_telemetry(config, run, progress.say) as telemetry:
        async with stop.droppable(then_s=math.inf), while_node_lives():
            workers, trainer = await _ready_trainer(placed, run, samples, start, placement, progress, stop, telemetry)
        # Only now is it known that the run can run: nothing was written before.
        run.create(dump_config(config))
        lock.take()
        async with under_way(trainer, workers, console):
            with progress:
                last_step = await trainer.train()
            await trainer.checkpoints.finished()
        status: Status = "completed" if last_step == config.grpo.steps else "interrupted"
        return sum_up(trainer, Outcome(status=status, steps=last_step), console)


async def _ready_trainer(
    config: Config,
    run: RunDirectory,
    samples: list[Sample],
    start: StartingPoint,
    placement: PlacementGroup,
    progress: ProgressDisplay,
    stop: StopSignal,
    telemetry: Telemetry,
) -> tuple[SupervisedWorkers, SupervisedTrainer]:
    """Workers started, the checkpoint taken up and the first prompts decoded."""
    for complaint in start.passed_over:
        progress.say(f"warning: passed over: {complaint}")
    progress.say(f"starting workers: {reserved_and_offered(config)}")
    by_role = replaced_by_role(run.rows_until(start.state.step))
    budget = RestartBudget(config.recovery, already=start.state.restarts, by_role=by_role, say=progress.say)
    workers = await start_supervised_workers(config, placement, budget)
    telemetry.moment.sources = Sources(occupation=workers.occupation, budget=budget, videos=workers.videos)
    trainer = _trainer(config, run, samples, start, workers, budget, progress, stop, telemetry)
    if start.checkpoint:
        progress.say(f"going on after step {start.state.step} from {start.checkpoint}")
        await workers.learner.load(start.checkpoint)
    if start.state.step < config.grpo.steps:
        await trainer.prompts.ready(start.state.step + 1)
    return workers, trainer


def _trainer(
    config: Config,
    run: RunDirectory,
    samples: list[Sample],
    start: StartingPoint,
    workers: SupervisedWorkers,
    budget: RestartBudget,
    progress: ProgressDisplay,
    stop: StopSignal,
    telemetry: Telemetry,
) -> SupervisedTrainer:
    processor = Qwen2_5_VLProcessor.from_pretrained(config.model.path)
    return SupervisedTrainer(
        config=config,
        run=run,
        start=start.state,
        prompts=PromptSource(
            config,
            {config.data.train: samples},
            processor,
            workers.videos,
            start.state.videos_skipped,
            run.append_skipped,
        ),
        tokenizer=processor.tokenizer,
        learner=workers.learner,
        budget=budget,
        guards=Guards.of_run(config.guards, run, after_step=start.state.step, say=progress.say),
        checkpoints=CheckpointWriter(
            run,
            workers.learner,
            config,
            progress.say,
            step=start.state.step,
            measured=(stop.checkpoint_took, telemetry.checkpoint_took),
        ),
        progress=progress,
        stop=stop,
        telemetry=telemetry,
    )
