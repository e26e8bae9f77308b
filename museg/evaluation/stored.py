"""Scores of stored answers: no model, no video."""

from __future__ import annotations

from pathlib import Path

from museg.errors import DataError
from museg.evaluation.benchmarks import FACTS, Benchmark
from museg.evaluation.exams import EtBenchExam, EtBenchOptions, GroundingExam
from museg.evaluation.predictions import read_predictions
from museg.evaluation.results import EvalResult, constant_score


def score_stored(benchmark: Benchmark, path: Path, et_bench: EtBenchOptions) -> EvalResult:
    """Score a file of answers (museg/evaluation/predictions.py), for E.T. Bench its own rows with the answers in `a`.

    Raises:
        DataError: a file is missing or malformed, or holds no answers.
        UserError: E.T. Bench's captions are to be compared and Java is missing.
    """
    if benchmark is Benchmark.et_bench:
        return _score_et_bench(path, et_bench)
    predictions = read_predictions(path)
    exam = GroundingExam(samples=predictions.samples, metrics=FACTS[benchmark].metrics)
    scores = exam.scores(predictions.texts)
    if not predictions.complete:
        scores.pop("format", None)
    return EvalResult(benchmark=benchmark, num_samples=len(exam.samples), scores=scores, constant=constant_score(exam))


def _score_et_bench(path: Path, options: EtBenchOptions) -> EvalResult:
    exam = EtBenchExam.from_file(path, options)
    answers = []
    for sample in exam.samples:
        if sample.answer is None:
            where = f"{path}, {sample.task} of {sample.source}, idx {sample.idx}"
            raise DataError(f"{where}: has no answer: add 'a', empty if there is none")
        answers.append(sample.answer)
    scores = exam.scores_of_answers(answers)
    return EvalResult(benchmark=Benchmark.et_bench, num_samples=len(answers), scores=scores)
