"""A run's phases: which steps each covers, under which settings, and which weights it starts from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from museg.config.choices import KLReference
from museg.config.schema import Config, PhaseConfig

_PLACES = {
    "train": ("data", "train"),
    "template": ("data", "template"),
    "functions": ("reward", "functions"),
    "weights": ("reward", "weights"),
    "preset": ("reward", "preset"),
    "lr": ("learner", "lr"),
    "kl_beta": ("grpo", "kl_beta"),
}
"""Setting of a phase → section and key of the configuration that it stands in for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of a run. Steps are the run's, counted from 1."""

    index: int
    """Place among the run's phases, from 0."""
    name: str
    config: Config
    """The configuration that a run of this phase alone would have, but for `run.name` and `model.path`."""
    first_step: int
    last_step: int
    schedule_first_step: int
    """Where optimizer, schedule, batches and seeds began to count: `first_step`, or that of an earlier phase."""
    schedule_last_step: int
    """Where the schedule ends: the last phase that goes on without a restart ends there."""
    policy_from: int
    """Step whose checkpoint the policy was loaded from at `schedule_first_step`; 0 is `model.path`."""
    reference_from: int
    """Step whose checkpoint the KL reference is; 0 is `model.path`."""

    @property
    def restarts(self) -> bool:
        """Policy and optimizer begin anew with this phase."""
        return self.first_step == self.schedule_first_step

    @property
    def schedule_steps(self) -> int:
        return self.schedule_last_step - self.schedule_first_step + 1

    def own_step(self, step: int) -> int:
        """The run's `step` counted as a run that began at `schedule_first_step` would."""
        return step - self.schedule_first_step + 1

    def title(self, num_phases: int) -> str:
        """Place, name and steps, for people."""
        return f"phase {self.index + 1} of {num_phases}: {self.name}, steps {self.first_step} to {self.last_step}"

    def changes_since(self, other: Phase) -> list[str]:
        """What is otherwise than in `other`, for people: `data.template=plain`, `optimizer and schedule begin anew`."""
        settings = [(f"{section}.{key}", section, key) for section, key in _PLACES.values()]
        pairs = [(name, _setting(other.config, *place), _setting(self.config, *place)) for name, *place in settings]
        changes = [f"{name}={_shown(now)}" for name, before, now in pairs if now != before]
        return [*changes, f"optimizer and schedule {'begin anew' if self.restarts else 'go on'}"]


def phases_of(config: Config) -> list[Phase]:
    """The phases of a run in order; one over all its steps where the configuration names none."""
    if not config.phases:
        return [_only_phase(config)]
    last_steps = list(itertools.accumulate(entry.steps for entry in config.phases))
    first_steps = [1, *(last + 1 for last in last_steps[:-1])]
    restarts = [index for index, entry in enumerate(config.phases) if entry.restart or index == 0]
    phases = []
    for index, entry in enumerate(config.phases):
        start = max(restart for restart in restarts if restart <= index)
        following = min((restart for restart in restarts if restart > index), default=len(config.phases))
        phases.append(
            Phase(
                index=index,
                name=entry.name,
                config=_with_settings(config, entry),
                first_step=first_steps[index],
                last_step=last_steps[index],
                schedule_first_step=first_steps[start],
                schedule_last_step=last_steps[following - 1],
                policy_from=first_steps[start] - 1,
                reference_from=0 if entry.kl_reference is KLReference.run_start else first_steps[index] - 1,
            )
        )
    return phases


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase of a step; the last one for steps after the run's end."""
    return next((phase for phase in phases if step <= phase.last_step), phases[-1])


def checkpoints_needed(phases: Sequence[Phase], step: int) -> set[int]:
    """Steps whose checkpoints the phase of `step` or a later one starts from, or holds on to as its KL reference."""
    ahead = [phase for phase in phases if phase.last_step >= step]
    policies = {phase.policy_from for phase in ahead}
    references = {phase.reference_from for phase in ahead if phase.config.grpo.kl_beta > 0}
    return (policies | references) - {0}


def _only_phase(config: Config) -> Phase:
    return Phase(
        index=0,
        name=config.run.name,
        config=config,
        first_step=1,
        last_step=config.grpo.steps,
        schedule_first_step=1,
        schedule_last_step=config.grpo.steps,
        policy_from=0,
        reference_from=0,
    )


def _with_settings(config: Config, entry: PhaseConfig) -> Config:
    sections: dict[str, dict[str, object]] = {"grpo": {"steps": entry.steps}, "data": {}, "reward": {}, "learner": {}}
    for setting, (section, key) in _PLACES.items():
        value = getattr(entry, setting)
        if value is not None:
            sections[section][key] = value
    return replace(
        config,
        phases=[],
        data=replace(config.data, **sections["data"]),  # type: ignore[arg-type]
        grpo=replace(config.grpo, **sections["grpo"]),  # type: ignore[arg-type]
        reward=replace(config.reward, **sections["reward"]),  # type: ignore[arg-type]
        learner=replace(config.learner, **sections["learner"]),  # type: ignore[arg-type]
    )


def _setting(config: Config, section: str, key: str) -> object:
    return getattr(getattr(config, section), key)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(value) + "]"
    return "{" + ", ".join(f"{k}: {v:g}" for k, v in value.items()) + "}" if isinstance(value, dict) else str(value)
