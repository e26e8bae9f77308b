"""What decides a synthetic data set: the same settings give the same questions and the same frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from museg.errors import DataError

MIN_GAP_S = 2
"""Seconds of other content between two segments of one question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """One split: how many questions, and how long the events asked for are."""

    num_samples: int
    min_event_s: int
    max_event_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisSettings:
    """All splits of a data set. Times are whole seconds, so that annotations are exact."""

    seed: int = 0
    warm_start: SplitSettings = field(
        default_factory=lambda: SplitSettings(num_samples=1500, min_event_s=7, max_event_s=14)
    )
    train: SplitSettings = field(default_factory=lambda: SplitSettings(num_samples=640, min_event_s=2, max_event_s=6))
    eval: SplitSettings = field(default_factory=lambda: SplitSettings(num_samples=256, min_event_s=2, max_event_s=6))
    min_duration_s: int = 12
    max_duration_s: int = 24
    several_share: float = 0.3
    """Share of the questions with two or three segments."""
    max_event_share: float = 0.8
    """Largest share of a video that the content asked for fills."""
    fps: int = 8
    width: int = 96
    height: int = 64

    def splits(self) -> dict[str, SplitSettings]:
        """The splits by file name (without `.jsonl`), in the order that seeds them."""
        return {"warm_start": self.warm_start, "train": self.train, "eval": self.eval}

    def fits(self, num_segments: int, split: SplitSettings) -> bool:
        """Whether the longest video can hold so many segments of the split's shortest event."""
        shortest = num_segments * split.min_event_s
        longest_video = self.max_duration_s
        return (
            shortest <= self.max_event_share * longest_video
            and shortest + (num_segments - 1) * MIN_GAP_S <= longest_video
        )

    def validate(self) -> None:
        """Raise DataError, naming the setting, its value and its bound, if no data set can be made."""
        if self.seed < 0:
            raise DataError(f"data synth: seed must be at least 0 (got {self.seed})")
        if not 1 <= self.min_duration_s <= self.max_duration_s:
            raise DataError(
                f"data synth: durations must be 1 <= min <= max (got {self.min_duration_s} and {self.max_duration_s} s)"
            )
        if self.fps < 1 or min(self.width, self.height) < 16 or self.width % 2 or self.height % 2:
            raise DataError(
                "data synth: videos need at least 1 frame a second and even sides of at least 16 pixels "
                f"(got {self.fps} fps, {self.width} x {self.height})"
            )
        if not 0 <= self.several_share <= 1:
            raise DataError(f"data synth: several_share must lie in [0, 1] (got {self.several_share})")
        for name, split in self.splits().items():
            self._validate_split(name, split)

    def _validate_split(self, name: str, split: SplitSettings) -> None:
        if split.num_samples < 1:
            raise DataError(f"data synth: {name} needs at least 1 sample (got {split.num_samples})")
        if not 1 <= split.min_event_s <= split.max_event_s:
            raise DataError(
                f"data synth: {name} events must be 1 <= min <= max (got {split.min_event_s} and {split.max_event_s} s)"
            )
        num_segments = 2 if self.several_share > 0 else 1
        if not self.fits(num_segments, split):
            raise DataError(
                f"data synth: {name} asks for {num_segments} segments of at least {split.min_event_s} s, which don't "
                f"fit {self.max_event_share:.0%} of {self.max_duration_s} s: lengthen the videos or shorten the events"
            )
