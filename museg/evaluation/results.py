"""results.json: what an evaluation found, and under which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from museg.errors import DataError
from museg.evaluation.benchmarks import Benchmark
from museg.evaluation.exams import Exam, GroundingExam
from museg.evaluation.settings import EvalSettings
from museg.runs.directory import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantScore:
    """The best single answer to every question: what can be had without looking."""

    answer: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """Scores are metric → value."""

    benchmark: Benchmark
    num_samples: int
    scores: Mapping[str, float]
    blind: Mapping[str, float] = field(default_factory=dict)
    """The same questions with the videos swapped; empty where they weren't asked."""
    constant: ConstantScore | None = None
    skipped_videos: Mapping[str, str] = field(default_factory=dict)
    """Video that couldn't be decoded → why; its questions count as answered wrongly."""
    settings: EvalSettings | None = None
    """None for stored answers, of which nobody knows how they came about."""

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)

    def write(self, folder: Path) -> None:
        write_atomically(folder / "results.json", self.as_json() + "\n")


def read_result(path: Path) -> EvalResult:
    """Raises DataError if the file isn't one that `EvalResult.write` wrote."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        settings, constant = values["settings"], values["constant"]
        return EvalResult(
            **values
            | {
                "benchmark": Benchmark(values["benchmark"]),
                "settings": EvalSettings(**settings) if settings else None,
                "constant": ConstantScore(**constant) if constant else None,
            }
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: isn't a result of `museg eval` ({error})") from error


def constant_score(exam: Exam) -> ConstantScore | None:
    """The best constant answer to the questions of an exam in grounding; None for others.

    Its reward for the format is left out: that is no matter of looking.
    """
    if not isinstance(exam, GroundingExam):
        return None
    answer = exam.constant_answer()
    scores = exam.scores_of_constant(answer)
    return ConstantScore(answer=str(answer), scores={name: scores[name] for name in scores if name != "format"})
