"""What the learner takes up when a phase begins: the phase, and the folders of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from museg.config.phases import Phase, phases_of
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.runs.checkpoints import step_folder
from museg.runs.manifest import check_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStart:
    """A phase with the Hugging Face folders that its policy and its KL reference are loaded from."""

    phase: Phase
    policy: Path
    reference: Path

    @classmethod
    def of_run(cls, config: Config) -> PhaseStart:
        """The start of a run: its first phase, policy and reference both from `model.path`."""
        model = Path(config.model.path)
        return cls(phase=phases_of(config)[0], policy=model, reference=model)

    @classmethod
    def from_checkpoints(cls, phase: Phase, folders: Sequence[Path]) -> PhaseStart:
        """The start of any phase; its weights are sought in `folders`, which hold checkpoints, in turn.

        Raises:
            ConfigError: a checkpoint that the phase starts from is in none of them.
            CheckpointError: its weights aren't what was written.
        """
        return cls(
            phase=phase,
            policy=_weights(phase, phase.policy_from, folders),
            reference=_weights(phase, phase.reference_from, folders),
        )


def _weights(phase: Phase, step: int, folders: Sequence[Path]) -> Path:
    if step == 0:
        return Path(phase.config.model.path)
    candidates = [folder / step_folder(step) / "hf" for folder in folders]
    found = next((candidate for candidate in candidates if candidate.is_dir()), None)
    if found is None:
        raise ConfigError(
            f"phase '{phase.name}' starts from the weights of step {step}, and {candidates[0]} isn't there: "
            "copy that checkpoint back, or resume from one before it"
        )
    check_whole(found.parent, under="hf/")
    return found
