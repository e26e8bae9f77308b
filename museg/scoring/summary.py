"""What a file of completions earns, and what could be earned without watching a video."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from museg.data.samples import Sample
from museg.evaluation.blind import ConstantAnswer, best_constant_answer
from museg.rewards.answers import ParsedAnswer
from museg.rewards.format import COMPLETE
from museg.rewards.scoring import Scorer

MAX_CONSTANT_ROWS = 4096
"""Rows, evenly spaced, that the best constant answer is sought on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How one reward is spread over rows; `std` is the population's."""

    mean: float
    std: float
    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScores:
    """The rows of one task, or of all."""

    rows: int
    right_format: float
    """Share of completions that are reasoning and an answer that parses (format_n_timestamp = 1)."""
    empty_answers: float
    """Share with an `<answer>` pair and nothing in it."""
    unparsed_answers: float
    """Share without one `<answer>` pair, or whose answer isn't all possible segments; the matching rewards are 0."""
    rewards: Mapping[str, Spread]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantScores:
    """The best answer that ignores the video, and what it earns."""

    answer: ConstantAnswer
    segment_matching: float
    """Its mean reward under the rules at work."""
    rows: int
    """Rows that it was sought on."""

    def as_json(self) -> dict[str, object]:
        return {
            "segment": self.answer.segment,
            "unit": self.answer.unit.value,
            "miou": self.answer.miou,
            "segment_matching": self.segment_matching,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSummary:
    """A whole file."""

    overall: TaskScores
    tasks: Mapping[str, TaskScores]
    constant: ConstantScores

    def as_json(self) -> dict[str, object]:
        return {
            **dataclasses.asdict(self.overall),
            "tasks": {task: dataclasses.asdict(scores) for task, scores in self.tasks.items()},
            "best_constant_answer": self.constant.as_json(),
        }


class SummaryOfRows:
    """Takes rows one by one, in memory that doesn't grow with them."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._overall = _Tally()
        self._tasks: dict[str, _Tally] = {}
        self._spaced = EvenlySpaced(MAX_CONSTANT_ROWS)

    @property
    def num_rows(self) -> int:
        return self._overall.rows

    def add(self, sample: Sample, answer: ParsedAnswer, rewards: Mapping[str, float]) -> None:
        self._overall.add(answer, rewards)
        self._tasks.setdefault(sample.task, _Tally()).add(answer, rewards)
        self._spaced.add(sample)

    def finish(self) -> ScoreSummary:
        """The summary of all rows; at least one."""
        samples = self._spaced.samples
        constant = best_constant_answer(samples)
        earned = [
            self.scorer.score(f"<answer>{constant.given_to(sample)}</answer>", sample).values["segment_matching"]
            for sample in samples
        ]
        return ScoreSummary(
            overall=self._overall.scores(),
            tasks={task: self._tasks[task].scores() for task in sorted(self._tasks)},
            constant=ConstantScores(
                answer=constant, segment_matching=math.fsum(earned) / len(earned), rows=len(samples)
            ),
        )


class EvenlySpaced:
    """Every n-th of the samples that come, n the least power of two that leaves no more than `size`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.samples: list[Sample] = []
        self._every = 1
        self._seen = 0

    def add(self, sample: Sample) -> None:
        if self._seen % self._every == 0:
            self.samples.append(sample)
            if len(self.samples) > self.size:
                self.samples = self.samples[::2]
                self._every *= 2
        self._seen += 1


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    right_format: int = 0
    empty: int = 0
    unparsed: int = 0
    rewards: dict[str, _RunningSpread] = field(default_factory=dict)

    def add(self, answer: ParsedAnswer, rewards: Mapping[str, float]) -> None:
        empty = answer.content is not None and not answer.content.strip()
        self.rows += 1
        self.right_format += rewards["format_n_timestamp"] == COMPLETE
        self.empty += empty
        self.unparsed += not empty and not answer.segments
        for name, value in rewards.items():
            self.rewards.setdefault(name, _RunningSpread()).add(value)

    def scores(self) -> TaskScores:
        return TaskScores(
            rows=self.rows,
            right_format=self.right_format / self.rows,
            empty_answers=self.empty / self.rows,
            unparsed_answers=self.unparsed / self.rows,
            rewards={name: spread.spread() for name, spread in self.rewards.items()},
        )


@dataclass(slots=True)
class _RunningSpread:
    """Welford's recurrence (Knuth, TAOCP 2, 4.2.2)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        deviation = value - self.mean
        self.mean += deviation / self.count
        self.squares += deviation * (value - self.mean)
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def spread(self) -> Spread:
        return Spread(mean=self.mean, std=math.sqrt(self.squares / self.count), min=self.low, max=self.high)
