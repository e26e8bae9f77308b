"""Videos that a run couldn't use: counted, on record with what took their place, and no more than it may skip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from actors.reward.worker import Cause, DecodeOutcome
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import VideoError

_MAX_NAMED = 5
"""Bad videos that a message names."""

Record = Callable[[Sequence[Mapping[str, object]]], None]
"""Puts rows on the record of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedVideo:
    """One sample that was drawn and couldn't be used."""

    step: int
    sample: int
    """Its `idx`."""
    video: str
    reason: str
    cause: Cause
    replaced_by: int | None
    """`idx` of the sample drawn in its place; None where none was."""


class Quarantine:
    """The skipped videos of a run.

    A step's rows are put on record when the step is taken: so a resumed run, which draws the same, repeats those of the
    steps that it does again, and of no others.
    """

    def __init__(self, config: Config, videos: Mapping[str, str], record: Record) -> None:
        """`videos` were skipped in the run's earlier lives: video → why."""
        self.videos = dict(videos)
        self._config = config
        self._record = record
        self._furthest_step = 0
        self._rows: dict[int, dict[int, SkippedVideo]] = {}
        """Step → sample → row, of steps that haven't been taken."""

    def add(self, step: int, sample: Sample, outcome: DecodeOutcome, num_samples: int) -> None:
        """Skip the video of a sample that was drawn for a step, from among `num_samples`.

        Raises:
            VideoError: more were bad than `data.max_skipped_fraction` of those drawn so far allows.
        """
        reason = str(outcome.error)
        self.videos[outcome.video] = reason
        self._rows.setdefault(step, {})[sample.idx] = SkippedVideo(
            step=step, sample=sample.idx, video=outcome.video, reason=reason, cause=outcome.cause, replaced_by=None
        )
        self._furthest_step = max(self._furthest_step, step)
        # By the step, not by what this life of the run has drawn: a resumed run may skip no less.
        num_drawn = self._furthest_step * self._config.grpo.prompts_per_step
        fraction = self._config.data.max_skipped_fraction
        if len(self.videos) > max(1, int(fraction * num_drawn)) or len(self.videos) >= num_samples:
            for unfinished in sorted(self._rows):
                self.write(unfinished)
            names = ", ".join(list(self.videos)[-_MAX_NAMED:])
            raise VideoError(
                f"{len(self.videos)} of {num_drawn} videos drawn can't be used, more than "
                f"data.max_skipped_fraction={fraction:g} allows: {names}; the last: {reason}"
            )

    def replaced(self, step: int, sample: Sample, by: Sample) -> None:
        """Another sample is drawn in the place of one that was added."""
        rows = self._rows[step]
        rows[sample.idx] = replace(rows[sample.idx], replaced_by=by.idx)

    def write(self, step: int) -> None:
        """Put the rows of a step on record that aren't there yet."""
        rows = sorted(self._rows.pop(step, {}).values(), key=lambda row: row.sample)
        if rows:
            self._record([asdict(row) for row in rows])
