"""Where a run begins: anew, or after the checkpoint that its configuration names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import yaml

from actors.phase_start import PhaseStart
from museg.config.loading import dump_config, read_config
from museg.config.phases import Phase, phase_at
from museg.config.schema import Config
from museg.errors import CheckpointError, ConfigError
from museg.runs.checkpoints import STEP_FOLDER
from museg.runs.directory import RunDirectory
from museg.runs.manifest import check_whole

FREE_TO_CHANGE = (
    "resume",
    "run.root",
    "checkpoint.",
    "recovery.",
    "guards.",
    "telemetry.",
    "pipeline.prefetch_steps",
    "video.decode_",
)
FREE_ENDINGS = (
    ".workers",
    ".max_workers",
    ".cpus",
    ".threads",
    ".timeout_s",
    ".kv_cache_gib",
    ".gpu_memory_utilization",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """What the driver itself must remember, kept in `trainer.json` of a checkpoint."""

    command: str = "train"
    """Of `museg`, whose run this is: train or sft."""
    step: int = 0
    eval_before: Mapping[str, float] = field(default_factory=dict)
    unfinished_row: Mapping[str, float] = field(default_factory=dict)
    """The step's row of metrics.jsonl, where a stop came before its evaluation was done."""
    videos_skipped: Mapping[str, str] = field(default_factory=dict)
    wall_s: float = 0.0
    restarts: int = 0
    """Workers that were replaced."""
    learner_ranks: int = 0
    """That the state is of, as is the next; 0: not known."""
    zero_stage: int = 0

    def write(self, checkpoint: Path) -> None:
        (checkpoint / "trainer.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    state: TrainerState
    checkpoint: Path | None
    passed_over: tuple[str, ...] = ()
    """Why each newer checkpoint isn't the one to go on from."""

    def phase_start(self, phases: Sequence[Phase], run: RunDirectory) -> PhaseStart:
        """The phase of the next step, with the weights that its learner is built from before it takes up a state."""
        return PhaseStart.from_checkpoints(phase_at(phases, self.state.step + 1), self.checkpoint_folders(run))

    def state_to_load(self, phase: Phase) -> Path | None:
        """The checkpoint whose optimizer and schedule `phase` continues; None where it begins with its own."""
        begins_anew = phase.restarts and self.state.step < phase.first_step
        return None if begins_anew else self.checkpoint

    def checkpoint_folders(self, run: RunDirectory) -> tuple[Path, ...]:
        """Where checkpoints of this run lie: its own, and those of the run that `resume` took it from."""
        return (run.checkpoints,) if self.checkpoint is None else (run.checkpoints, self.checkpoint.parent)


def starting_point(config: Config, run: RunDirectory, command: str = "train") -> StartingPoint:
    """The newest whole checkpoint of the run directory (`resume=auto`), the one that `resume` names, or the beginning.

    Every byte of it is compared with its manifest, before anything unpickles its state.

    Raises:
        ConfigError: the directory belongs to a run of another configuration, or `resume` forbids or names nothing.
        CheckpointError: the one that `resume` names, or all of the directory, are torn or were changed.
    """
    if config.resume not in ("auto", "never"):
        named = Path(config.resume)
        state = _state_of(named, command)
        check_whole(named)
        return _after(named, state, config)
    beginning = StartingPoint(state=TrainerState(command=command), checkpoint=None)
    if not run.config_file.exists():
        return beginning
    if config.resume == "never":
        raise ConfigError(
            f"{run.path} exists and resume=never: choose another run.name, or resume=auto to go on with it"
        )
    _refuse_another_run(config, run)
    run.checkpoint_store.sweep()
    newest, complaints = run.checkpoint_store.newest_whole()
    if newest is None:
        _refuse_to_lose(complaints, run)
        return beginning
    folder = run.checkpoint(newest)
    return replace(_after(folder, _state_of(folder, command), config), passed_over=tuple(complaints))


def _state_of(folder: Path, command: str) -> TrainerState:
    file = folder / "trainer.json"
    if not STEP_FOLDER.fullmatch(folder.name) or not file.is_file():
        raise ConfigError(
            f"resume={folder} isn't a checkpoint: name a folder such as runs/<name>/checkpoints/step-000100"
        )
    try:
        state = TrainerState(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{folder} is corrupt: trainer.json isn't what a run writes") from error
    if state.command != command:
        raise ConfigError(
            f"{folder} is of a run of `museg {state.command}`: choose another run.name, and to start from its weights "
            f"set model.path={folder / 'hf'}"
        )
    return state


def _after(folder: Path, state: TrainerState, config: Config) -> StartingPoint:
    learner = config.learner
    for key, then, now in (
        ("learner.ranks", state.learner_ranks, learner.ranks),
        ("learner.zero_stage", state.zero_stage, learner.zero_stage),
    ):
        if state.learner_ranks and then != now:
            raise ConfigError(
                f"{folder} is the state of a learner with {key}={then}, and this run has {now}: set {key}={then}, or "
                f"start anew from its weights with model.path={folder / 'hf'}"
            )
    return StartingPoint(state=state, checkpoint=folder)


def _refuse_to_lose(complaints: Sequence[str], run: RunDirectory) -> None:
    """A run that has come far doesn't begin anew, over its own records, because no checkpoint is whole any more."""
    if complaints:
        raise CheckpointError(
            f"none of the {len(complaints)} checkpoints of {run.path} is whole: {'; '.join(complaints)}. To begin anew "
            "choose another run.name, or remove the folder"
        )


def _refuse_another_run(config: Config, run: RunDirectory) -> None:
    # Read through the schema, so that a run of an older version has the defaults of keys that it didn't know.
    then = dict(_flat(yaml.safe_load(dump_config(read_config(run.config_file)))))
    now = dict(_flat(yaml.safe_load(dump_config(config))))
    for key in sorted(then.keys() | now.keys()):
        free = key.startswith(FREE_TO_CHANGE) or key.endswith(FREE_ENDINGS)
        if then.get(key) != now.get(key) and not free:
            raise ConfigError(
                f"{run.path} holds a run with {key}={then.get(key)}, and this one has {now.get(key)}: "
                "choose another run.name, or remove the folder"
            )


def _flat(section: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif name == "phases" and isinstance(value, list):
            for index, phase in enumerate(value):
                yield from _flat(phase, f"{prefix}phases[{index}].")
        else:
            yield f"{prefix}{name}", value
