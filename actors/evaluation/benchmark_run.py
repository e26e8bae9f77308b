"""An evaluation as a command: start generators and reward workers, ask what has no answer yet, score it all."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.cluster import ray_session, reserved_and_offered
from actors.evaluation.answering import Answerer, Question, exam_questions
from actors.progress import counting_bar
from actors.stopping import cancel_on_signal
from actors.workers import start_inference_workers, without_learner
from museg.config.schema import Config
from museg.data.prompts import ChatTemplated
from museg.errors import ConfigError, DataError
from museg.evaluation.answer_log import AnswerLog, LoggedAnswer
from museg.evaluation.benchmarks import Benchmark, read_exam
from museg.evaluation.exams import EtBenchOptions, Exam, GroundingExam
from museg.evaluation.results import EvalResult, constant_score
from museg.evaluation.settings import ET_BENCH_PARSER, GROUNDING_PARSER, EvalSettings, eval_settings
from museg.policy.loading import check_model_folder
from museg.runs.directory import write_atomically

ANSWERS_FILE = "answers.jsonl"
SETTINGS_FILE = "settings.json"
PREDICTIONS_FILE = "predictions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is asked of whom, and where the answers go."""

    benchmark: Benchmark
    config: Config
    """`model.path` is asked `data.eval`; the keys of training don't matter."""
    folder: Path
    et_bench: EtBenchOptions = field(default_factory=EtBenchOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The questions that still have no answer, own videos first, then blind."""

    own: list[Question]
    blind: list[Question]

    def __len__(self) -> int:
        return len(self.own) + len(self.blind)


def run_evaluation(evaluation: Evaluation, console: Console) -> EvalResult:
    """Ask what hasn't been answered yet, score everything, and write results.json and predictions.json.

    Raises:
        UserError: data or model can't be used, the answers couldn't be scored here, or the folder holds answers that
            came about otherwise.
        KeyboardInterrupt: SIGINT or SIGTERM came; the answers so far are kept.
    """
    config = evaluation.config
    check_model_folder(Path(config.model.path))
    exam = read_exam(evaluation.benchmark, Path(str(config.data.eval)), evaluation.et_bench)
    chat_format = Qwen2_5_VLProcessor.from_pretrained(config.model.path)
    settings = _settings(evaluation, exam, chat_format)
    _claim(evaluation.folder, settings)
    with AnswerLog(evaluation.folder / ANSWERS_FILE) as log:
        pending = _pending(config, exam, chat_format, log)
        if len(pending):
            _ask(config, pending, log, console)
        result = _scored(evaluation, exam, settings, log)
        exam.write_predictions(evaluation.folder / PREDICTIONS_FILE, log.texts(result.num_samples, blind=False))
    result.write(evaluation.folder)
    return result


def _settings(evaluation: Evaluation, exam: Exam, chat_format: ChatTemplated) -> EvalSettings:
    config = evaluation.config
    first = exam_questions(exam, chat_format, config.data.eval_template, blind=False)[0]
    parser = GROUNDING_PARSER if isinstance(exam, GroundingExam) else ET_BENCH_PARSER
    return eval_settings(config, prompt=first.prompt, parser=parser, subset=evaluation.et_bench.subset)


def _claim(folder: Path, settings: EvalSettings) -> None:
    """Note the settings in the folder, or see that those noted there are the same.

    Raises:
        ConfigError: they aren't.
        DataError: the folder's note is damaged.
    """
    note = folder / SETTINGS_FILE
    now = settings.identity()
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps(now, indent=2, ensure_ascii=False) + "\n")
        return
    try:
        then = dict(json.loads(note.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{note}: isn't what `museg eval` wrote ({error}); remove the folder to begin anew") from error
    for name, value in now.items():
        if then.get(name) != value:
            raise ConfigError(
                f"{folder} holds answers that came about with another {name} ({_short(then.get(name))}, now "
                f"{_short(value)}): choose another --output, or remove the folder"
            )


def _pending(config: Config, exam: Exam, chat_format: ChatTemplated, log: AnswerLog) -> Pending:
    def missing(*, blind: bool) -> list[Question]:
        questions = exam_questions(exam, chat_format, config.data.eval_template, blind=blind)
        return [questions[key] for key in log.missing(len(questions), blind=blind)]

    asked_blind = config.eval.blind and bool(exam.swapped_videos())
    return Pending(own=missing(blind=False), blind=missing(blind=True) if asked_blind else [])


def _ask(config: Config, pending: Pending, log: AnswerLog, console: Console) -> None:
    config = without_learner(config, "eval")
    with ray_session(config):
        try:
            asyncio.run(_answer(config, pending, log, console))
        except asyncio.CancelledError:
            console.print(f"{len(log.answers)} answers are kept: the same command goes on", soft_wrap=True)
            raise KeyboardInterrupt from None


async def _answer(config: Config, pending: Pending, log: AnswerLog, console: Console) -> None:
    # Every answer is on disk already: nothing is to be finished.
    cancel_on_signal()
    console.print(f"starting workers: {reserved_and_offered(config)}", highlight=False, soft_wrap=True)
    workers = await start_inference_workers(config)
    answerer = Answerer(config, workers.generators, workers.videos)
    with counting_bar(console) as progress:
        task = progress.add_task("answers", total=len(pending))
        for blind, questions in ((False, pending.own), (True, pending.blind)):
            videos = {question.key: question.video for question in questions}
            async for answer in answerer.answers(questions):
                log.append(
                    LoggedAnswer(
                        question=answer.key,
                        blind=blind,
                        video=videos[answer.key],
                        text=answer.text,
                        error=answer.error,
                    )
                )
                progress.advance(task)


def _scored(evaluation: Evaluation, exam: Exam, settings: EvalSettings, log: AnswerLog) -> EvalResult:
    num_samples = len(exam.videos())
    blind = evaluation.config.eval.blind and bool(exam.swapped_videos())
    return EvalResult(
        benchmark=evaluation.benchmark,
        num_samples=num_samples,
        scores=exam.scores(log.texts(num_samples, blind=False)),
        blind=exam.scores(log.texts(num_samples, blind=True)) if blind else {},
        constant=constant_score(exam),
        skipped_videos=log.skipped_videos(),
        settings=settings,
    )


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:20]}…{text[-19:]}"
