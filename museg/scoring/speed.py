"""How fast the rewards are, on completions such as a policy writes."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from museg.data.samples import Sample, Segment
from museg.rewards.scoring import Scorer

BUDGET_S_PER_COMPLETION = 1.0 / 4096
"""A step of 4,096 completions must be scored in a second of one core."""
REPEATS = 5

_WORDS = (
    "the",
    "person",
    "walks",
    "to",
    "a",
    "door",
    "opens",
    "it",
    "while",
    "somebody",
    "else",
    "waits",
    "at",
    "about",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSpeed:
    """CPU seconds of one core, over several repeats."""

    completions: int
    seconds: float
    """Median."""
    seconds_min: float
    seconds_max: float

    @property
    def completions_per_s(self) -> float:
        return self.completions / self.seconds

    @property
    def ratio(self) -> float:
        """How many times as fast as the budget asks."""
        return BUDGET_S_PER_COMPLETION * self.completions / self.seconds


def measure_rewards(scorer: Scorer, num_completions: int) -> RewardSpeed:
    """Score the same varied completions several times, after a repeat that doesn't count."""
    work = varied_completions(num_completions)
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.process_time()
        for text, sample in work:
            scorer.score(text, sample)
        seconds.append(time.process_time() - started)
    counted = seconds[1:]
    return RewardSpeed(
        completions=num_completions,
        seconds=statistics.median(counted),
        seconds_min=min(counted),
        seconds_max=max(counted),
    )


def varied_completions(count: int) -> list[tuple[str, Sample]]:
    """Completions of about 100 to 300 words about one to ten segments, no two alike; the same for the same count.

    One in ten has no right structure, one in ten an answer that doesn't parse; the others are right, loose or miss.
    """
    rng = random.Random(count)
    return [_completion(index, rng) for index in range(count)]


def _completion(index: int, rng: random.Random) -> tuple[str, Sample]:
    duration_s = rng.uniform(30.0, 220.0)
    num_segments = rng.choice((1, 1, 1, 1, 2, 3, 4, 6, 10))
    bounds = sorted(round(rng.uniform(0.0, duration_s), 2) for _ in range(2 * num_segments))
    annotated = [(start, max(end, start + 0.01)) for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    answered = [_shifted(segment, rng.choice((0.0, 0.5, 5.0, 30.0)), rng) for segment in annotated]
    rng.shuffle(answered)
    words = rng.choices(_WORDS, k=rng.randrange(100, 300))
    for number in [number for segment in answered for number in segment]:
        words.insert(rng.randrange(len(words)), str(number))
    kind = rng.randrange(10)
    separator = " to " if kind == 0 else "-"
    answer = " ".join(f"{start}{separator}{end}" for start, end in answered)
    closing = "" if kind == 1 else "</think>"
    text = f"<think>{' '.join(words)}{closing}\n<answer>{answer}</answer>"
    return text, _sample(index, annotated, duration_s)


def _shifted(segment: Segment, by_s: float, rng: random.Random) -> Segment:
    start = round(max(0.0, segment[0] + rng.uniform(-by_s, by_s)), 2)
    return start, round(max(start + 0.01, segment[1] + rng.uniform(-by_s, by_s)), 2)


def _sample(index: int, annotated: Sequence[Segment], duration_s: float) -> Sample:
    return Sample(
        idx=index, problem="when?", solution=tuple(annotated), video=f"{index}.mp4", task="tal", duration_s=duration_s
    )
