"""Exams: the questions of a benchmark, the videos that they are about, and what a set of answers scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from museg.config.choices import Template
from museg.data.prompts import et_bench_question, question
from museg.data.samples import Sample
from museg.evaluation.blind import (
    ConstantAnswer,
    best_constant_answer,
    best_constant_answer_for_all_segments,
    swapped_videos,
)
from museg.evaluation.et_bench.java import require_java
from museg.evaluation.et_bench.samples import CAPTIONING, EtBenchSample, in_subset, read_et_bench
from museg.evaluation.et_bench.scoring import score_et_bench
from museg.evaluation.et_bench.similarity import SentenceSimilarity, Similarity
from museg.evaluation.grounding import score_grounding
from museg.evaluation.predictions import answer_of, write_et_bench_predictions, write_predictions

BLIND = "blind/"
"""Begins the names of blind scores where they stand among others."""


class Exam(Protocol):
    """What asking and scoring need to know of a benchmark. Everything is in the order of its file."""

    def videos(self) -> list[str]:
        """The video of each question."""

    def swapped_videos(self) -> list[str]:
        """For each question the other video that it is asked about in the blind score; empty without such a score."""

    def questions(self, template: Template) -> list[str]:
        """Each question with the instructions on how to answer it."""

    def scores(self, texts: Sequence[str]) -> dict[str, float]:
        """Metric → value of the whole completions `texts`."""

    def write_predictions(self, path: Path, texts: Sequence[str]) -> None:
        """Store the answers so that `museg eval --predictions` scores them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingExam:
    """Questions whose answers are segments."""

    samples: Sequence[Sample]
    metrics: tuple[str, ...] | None = None
    """Metrics that its scores consist of; None: all of `score_grounding`'s."""

    def videos(self) -> list[str]:
        return [sample.video for sample in self.samples]

    def swapped_videos(self) -> list[str]:
        return [self.samples[index].video for index in swapped_videos(self.samples)]

    def questions(self, template: Template) -> list[str]:
        return [question(sample, template) for sample in self.samples]

    def scores(self, texts: Sequence[str]) -> dict[str, float]:
        scores = score_grounding(self.samples, texts)
        return {name: scores[name] for name in self.metrics or scores}

    def write_predictions(self, path: Path, texts: Sequence[str]) -> None:
        write_predictions(path, self.samples, texts)

    def constant_answer(self) -> ConstantAnswer:
        """With the best F1 where that is what counts, else with the best mean IoU."""
        if self.metrics is not None and "miou" not in self.metrics:
            return best_constant_answer_for_all_segments(self.samples)
        return best_constant_answer(self.samples)

    def scores_of_constant(self, answer: ConstantAnswer) -> dict[str, float]:
        """What the same answer to every question scores."""
        return self.scores([f"<answer>{answer.given_to(sample)}</answer>" for sample in self.samples])


@dataclass(frozen=True, slots=True, kw_only=True)
class EtBenchOptions:
    """What is scored of E.T. Bench."""

    subset: Path | None = None
    """File that names the questions (`in_subset`); None: all."""
    captions: bool = True
    """Whether captions are compared, which needs Java."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtBenchExam:
    """E.T. Bench: questions of twelve kinds, with a prompt and scores of its own and without a blind score."""

    file: Path
    samples: Sequence[EtBenchSample]
    """Of the file and in its order, not necessarily all."""
    similarity: Similarity
    captions: bool = True

    @classmethod
    def from_file(cls, file: Path, options: EtBenchOptions) -> Self:
        """Read the questions, and see that their answers can be scored: better now than after hours of asking.

        Raises:
            DataError: a file is missing or malformed, or the subset names none of the questions.
            UserError: captions are to be compared and Java is missing, or the model that compares texts is.
        """
        samples = read_et_bench(file)
        if options.subset is not None:
            samples = in_subset(samples, options.subset)
        if options.captions and any(sample.task in CAPTIONING for sample in samples):
            require_java()
        return cls(file=file, samples=samples, similarity=SentenceSimilarity(), captions=options.captions)

    def videos(self) -> list[str]:
        return [sample.video for sample in self.samples]

    def swapped_videos(self) -> list[str]:
        return []

    def questions(self, template: Template) -> list[str]:
        return [et_bench_question(sample.question) for sample in self.samples]

    def scores(self, texts: Sequence[str]) -> dict[str, float]:
        return self.scores_of_answers([answer_of(text) for text in texts])

    def scores_of_answers(self, answers: Sequence[str]) -> dict[str, float]:
        """The same of the answers alone: abilities, tasks, and tasks by source (`EtBenchScores.flat`)."""
        return score_et_bench(self.samples, answers, self.similarity, captions=self.captions).flat()

    def write_predictions(self, path: Path, texts: Sequence[str]) -> None:
        write_et_bench_predictions(path, self.file, self.samples, texts)


def metrics_of(scores: Mapping[str, float], blind: Mapping[str, float]) -> dict[str, float]:
    """Both in one, as a run's summary.json has them: `<metric>` and `blind/<metric>`."""
    return {**scores, **{f"{BLIND}{name}": value for name, value in blind.items()}}
