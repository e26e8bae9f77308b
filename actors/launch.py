"""A whole run: inputs checked, workers started, trained, evaluated, summed up."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace

from ray.util.placement_group import PlacementGroup
from rich.console import Console

from actors.checkpointing.writer import CheckpointWriter
from actors.cluster import object_store_bytes, ray_session, reserved_and_offered, run_directory
from actors.ending import Outcome, already_complete, sum_up
from actors.evaluation.evaluator import Evaluator
from actors.faults.budget import RestartBudget, replaced_by_role
from actors.faults.own_node import while_node_lives
from actors.guards.watch import Guards
from actors.inputs import Inputs
from actors.lives import until_it_ends
from actors.progress import ProgressDisplay
from actors.resuming import StartingPoint, starting_point
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from actors.stopping import DroppedError, StopSignal, until_interrupted
from actors.telemetry.moment import Sources
from actors.telemetry.outside import require_packages
from actors.telemetry.telemetry import Telemetry, run_telemetry
from actors.trainer import Trainer
from actors.under_way import under_way
from actors.weight_sync.delivery import WeightDelivery
from actors.workers import Workers, learner_placement, start_workers
from museg.config.loading import dump_config
from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.interruption import terminating_as_interrupted
from museg.planning.room import too_large_for_store
from museg.runs.directory import RunDirectory
from museg.runs.lock import RunLock
from museg.runs.summary import Status, Summary


def run_training(config: Config, console: Console) -> Summary:
    """Train as the configuration says and return how it ended; `summary.json` and `report.html` hold the same.

    Raises:
        UserError: the configuration, the data, the videos or the model can't be used.
    """
    run = run_directory(config)
    require_packages(config.telemetry)
    inputs = Inputs.read(config)
    with closing(RunLock(run.path)) as lock:
        lock.take()
        return until_it_ends(config, run, lambda again: _held_run(again, run, inputs, lock, console), console)


def _held_run(config: Config, run: RunDirectory, inputs: Inputs, lock: RunLock, console: Console) -> Summary:
    start = starting_point(config, run)
    if summary := already_complete(config, run, start, console):
        return summary
    # Ray sets a handler of its own.
    with ray_session(config), terminating_as_interrupted(), learner_placement(config) as placement:
        return until_interrupted(_run(config, run, inputs, start, placement, lock, console))


async def _run(
    config: Config,
    run: RunDirectory,
    inputs: Inputs,
    start: StartingPoint,
    placement: PlacementGroup,
    lock: RunLock,
    console: Console,
) -> Summary:
    progress = ProgressDisplay(config.run.name, config.grpo.steps, start.state.step, console)
    stop = StopSignal(progress.say, config.recovery.grace_s)
    stop.install()
    with run_telemetry(config, run, progress.say) as telemetry:
        async with stop.droppable(then_s=math.inf), while_node_lives():
            workers, trainer = await _ready_trainer(config, run, inputs, start, placement, progress, stop, telemetry)
        # Only now is it known that the run can run: nothing was written before.
        run.create(dump_config(config))
        lock.take()
        async with under_way(trainer, workers, console):
            outcome = await _train_and_evaluate(trainer, progress)
        return sum_up(trainer, outcome, console)


async def _ready_trainer(
    config: Config,
    run: RunDirectory,
    inputs: Inputs,
    start: StartingPoint,
    placement: PlacementGroup,
    progress: ProgressDisplay,
    stop: StopSignal,
    telemetry: Telemetry,
) -> tuple[Workers, Trainer]:
    """Workers started, the checkpoint taken up and the first prompts decoded."""
    for complaint in start.passed_over:
        progress.say(f"warning: passed over: {complaint}")
    for likely in (*inputs.likely_too_long(config), *too_large_for_store(config, object_store_bytes())):
        progress.say(f"warning: {likely}")
    progress.say(f"starting workers: {reserved_and_offered(config)}")
    phases = phases_of(config)
    phase_start = start.phase_start(phases, run)
    by_role = replaced_by_role(run.rows_until(start.state.step))
    budget = RestartBudget(config.recovery, already=start.state.restarts, by_role=by_role, say=progress.say)
    workers = await start_workers(config, placement, phase_start, budget)
    trainer = _trainer(config, run, inputs, start, workers, progress, stop, telemetry)
    telemetry.moment.sources = Sources(
        occupation=workers.occupation, budget=budget, videos=workers.videos, generators=workers.generators
    )
    workers.generators.bring_weights = trainer.weights.to_one
    if start.checkpoint:
        progress.say(f"going on after step {start.state.step} from {start.checkpoint}")
        if state := start.state_to_load(phase_start.phase):
            await workers.learner.load(state)
        await trainer.weights.to_all(version=start.state.step)
    if len(phases) > 1:
        progress.say(phase_start.phase.title(len(phases)))
    if start.state.step < config.grpo.steps:
        await trainer.prompts.ready(start.state.step + 1)
    return workers, trainer


def _trainer(
    config: Config,
    run: RunDirectory,
    inputs: Inputs,
    start: StartingPoint,
    workers: Workers,
    progress: ProgressDisplay,
    stop: StopSignal,
    telemetry: Telemetry,
) -> Trainer:
    evaluator = Evaluator(config, inputs.evaluation, inputs.processor, workers.generators, workers.videos)
    skipped = start.state.videos_skipped
    prompts = PromptSource(config, inputs.train, inputs.processor, workers.videos, skipped, run.append_skipped)
    return Trainer(
        config=config,
        phases=phases_of(config),
        run=run,
        checkpoint_folders=start.checkpoint_folders(run),
        start=start.state,
        prompts=prompts,
        sampler=Sampler(config, prompts, workers.generators, workers.reward_workers),
        learner=workers.learner,
        weights=WeightDelivery(workers.learner, workers.generators, config.sync),
        evaluator=evaluator if inputs.evaluation else None,
        occupation=workers.occupation,
        budget=workers.budget,
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


async def _train_and_evaluate(trainer: Trainer, progress: ProgressDisplay) -> Outcome:
    before, after, completed = dict(trainer.start.eval_before), {}, False
    last_step = trainer.start.step
    with progress:
        try:
            if trainer.evaluator and not before:
                progress.say(f"evaluating the start on {len(trainer.evaluator.samples)} held-out samples")
                async with trainer.stop.droppable():
                    before = await trainer.evaluator.evaluate()
            trainer = replace(trainer, start=replace(trainer.start, eval_before=before))
            last_step = await trainer.train(first_step=trainer.start.step + 1)
            await trainer.checkpoints.finished()
            if last_step == trainer.config.grpo.steps:
                if trainer.evaluator:
                    progress.say("evaluating the end")
                    async with trainer.stop.droppable(then_s=0.0):
                        after = await trainer.evaluator.evaluate()
                completed = True
        except DroppedError:
            progress.say("the evaluation is given up, and done again when the run goes on")
    status: Status = "completed" if completed else "interrupted"
    return Outcome(status=status, steps=last_step, eval_before=before, eval_after=after)
