"""RAR, ECA, RVQ: multiple choice, by letter or by the option that the answer resembles."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from museg.evaluation.et_bench.answers import bracketed_letter, leading_letter, without_preamble
from museg.evaluation.et_bench.overlap import rounded
from museg.evaluation.et_bench.samples import EtBenchSample
from museg.evaluation.et_bench.similarity import Similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an answer says before any similarity is asked for."""

    right: bool = False
    resembling: str | None = None
    """The text whose most similar option decides; None if the letter, or an empty answer, already has."""
    failed: bool = False
    """No letter was found, or nothing at all."""


def score_choices(samples: Sequence[EtBenchSample], answers: Sequence[str], similarity: Similarity) -> dict[str, float]:
    """Accuracy. A letter that is right counts at once; after a wrong one similarity still decides, as the benchmark
    has it."""
    readings = [_read(sample, answer) for sample, answer in zip(samples, answers, strict=True)]
    right = right_choices(samples, readings, similarity)
    return {
        "Total": len(samples),
        "Failed": sum(reading.failed for reading in readings),
        "Acc": rounded(sum(right) / len(samples)),
    }


def right_choices(samples: Sequence[EtBenchSample], readings: Sequence[Reading], similarity: Similarity) -> list[bool]:
    """Whether each answer is right; the similarity is asked once for all that need it."""
    open_cases = [
        (sample, reading.resembling)
        for sample, reading in zip(samples, readings, strict=True)
        if reading.resembling is not None
    ]
    nearest = iter(_nearest_options(open_cases, similarity))
    return [
        reading.right if reading.resembling is None else next(nearest) == sample.correct
        for sample, reading in zip(samples, readings, strict=True)
    ]


def is_correct(letter: str | None, sample: EtBenchSample) -> bool:
    """Whether a lower-case letter stands for the right option."""
    return letter is not None and string.ascii_lowercase.find(letter) == sample.correct


def _read(sample: EtBenchSample, answer: str) -> Reading:
    bracketed = bracketed_letter(answer)
    if is_correct(bracketed, sample):
        return Reading(right=True)
    option = without_preamble(answer.lower())
    if not option:
        return Reading(failed=True)
    letter = leading_letter(option)
    if is_correct(letter, sample):
        return Reading(right=True)
    return Reading(resembling=option, failed=bracketed is None and letter is None)


def _nearest_options(cases: Sequence[tuple[EtBenchSample, str]], similarity: Similarity) -> list[int]:
    """Per case the index of the option most like the text; the first of equals."""
    pairs = [
        (text, f"({letter}) {option}")
        for sample, text in cases
        for letter, option in zip(string.ascii_uppercase, sample.options, strict=False)
    ]
    scores = iter(similarity(pairs) if pairs else ())
    nearest = []
    for sample, _ in cases:
        own = [next(scores) for _ in sample.options]
        nearest.append(own.index(max(own)))
    return nearest
