"""What a run reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import Qwen2_5_VLProcessor

from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.data.samples import Sample, read_samples
from museg.planning.room import too_long_for_context
from museg.policy.loading import check_model_folder
from museg.rewards.scoring import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that a run reads, found whole before Ray starts."""

    train: Mapping[str, list[Sample]]
    """Of every file that a phase's `data.train` names."""
    evaluation: list[Sample]
    processor: Qwen2_5_VLProcessor

    @classmethod
    def read(cls, config: Config) -> Inputs:
        """Raises UserError for what can't be used, reward functions included."""
        phases = phases_of(config)
        for phase in phases:
            Scorer.from_config(phase.config.reward)
        check_model_folder(Path(config.model.path))
        files = {phase.config.data.train for phase in phases}
        train = {file: read_samples(Path(file)) for file in sorted(files)}
        evaluation = read_samples(Path(config.data.eval)) if config.data.eval else []
        return cls(train=train, evaluation=evaluation, processor=Qwen2_5_VLProcessor.from_pretrained(config.model.path))

    def likely_too_long(self, config: Config) -> Iterator[str]:
        """Of each file, what tells that samples may not fit the context."""
        for samples in self.train.values():
            yield from too_long_for_context(config, samples)
