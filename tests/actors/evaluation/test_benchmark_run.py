"""`museg eval` of a model whose answers are all in the log: everything but the asking, so without Ray."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from transformers import Qwen2_5_VLProcessor

from actors.evaluation.answering import exam_questions
from actors.evaluation.benchmark_run import ANSWERS_FILE, PREDICTIONS_FILE, Evaluation, run_evaluation
from museg.config.choices import Template
from museg.config.schema import Config
from museg.data.prompts import ET_BENCH_TEMPLATE
from museg.errors import ConfigError, UserError
from museg.evaluation.answer_log import AnswerLog, LoggedAnswer
from museg.evaluation.benchmarks import Benchmark, read_exam
from museg.evaluation.exams import EtBenchOptions
from museg.evaluation.stored import score_stored
from tests.actors.material import run_config, tiny_folder

MADE = {"source": "made", "more": "kept"}
ROWS = [
    {**MADE, "task": "rar", "idx": 4, "video": "c.mp4", "q": "Which?", "o": ["run", "sit", "eat", "nap"], "p": 2},
    {**MADE, "task": "dvc", "idx": 0, "video": "b.mp4", "q": "Describe.", "tgt": [[0, 10]], "g": ["it opens"]},
    {**MADE, "task": "tvg", "idx": 7, "video": "a.mp4", "q": "When {is} it?", "tgt": [10, 20]},
]
TEXTS = ["<think>.</think><answer> (C) </answer>", "0-10, it opens", "<answer>15.0 - 20.0</answer>"]
SUBSET = {"tvg": {"made": [7]}, "rar": {"made": [4]}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny", seed=0, tied=False)


def evaluation(model: Path, tmp_path: Path, **options: Path | bool) -> Evaluation:
    (tmp_path / "et_bench.json").write_text(json.dumps(ROWS))
    config: Config = run_config(model)
    config = replace(config, data=replace(config.data, eval=str(tmp_path / "et_bench.json")))
    et_bench = EtBenchOptions(**options)  # type: ignore[arg-type]
    return Evaluation(benchmark=Benchmark.et_bench, config=config, folder=tmp_path / "output", et_bench=et_bench)


def answered(work: Evaluation, texts: list[str]) -> None:
    work.folder.mkdir(exist_ok=True)
    with AnswerLog(work.folder / ANSWERS_FILE) as log:
        for number, text in enumerate(texts):
            log.append(LoggedAnswer(question=number, blind=False, video="v", text=text))


def test_each_question_is_asked_in_the_benchmarks_template_about_its_video(model: Path, tmp_path: Path) -> None:
    work = evaluation(model, tmp_path, captions=False)
    exam = read_exam(Benchmark.et_bench, tmp_path / "et_bench.json", work.et_bench)
    chat_format = Qwen2_5_VLProcessor.from_pretrained(model)
    questions = exam_questions(exam, chat_format, Template.plain, blind=False)
    assert [(question.key, question.video) for question in questions] == [(0, "c.mp4"), (1, "b.mp4"), (2, "a.mp4")]
    for question, row in zip(questions, ROWS, strict=True):
        asked = ET_BENCH_TEMPLATE.replace("{}", str(row["q"]))
        assert f"<|vision_start|><|video_pad|><|vision_end|>{asked}<|im_end|>" in question.prompt
    assert exam.swapped_videos() == []


def test_its_predictions_score_again_to_the_same(model: Path, tmp_path: Path) -> None:
    work = evaluation(model, tmp_path, captions=False)
    answered(work, TEXTS)
    result = run_evaluation(work, Console(file=io.StringIO()))
    assert result.scores["TVG F1"] == 0.75
    assert (result.scores["RAR Acc"], result.scores["DVC F1"]) == (1, 0), "an answer without tags is none"
    predictions = json.loads((work.folder / PREDICTIONS_FILE).read_text())
    assert predictions == [{**row, "a": a} for row, a in zip(ROWS, ["(C)", "", "15.0 - 20.0"], strict=True)]
    again = score_stored(Benchmark.et_bench, work.folder / PREDICTIONS_FILE, work.et_bench)
    assert again.scores == result.scores


def test_a_subset_is_asked_alone_and_its_answers_mix_with_no_others(model: Path, tmp_path: Path) -> None:
    (tmp_path / "subset.json").write_text(json.dumps(SUBSET))
    work = evaluation(model, tmp_path, subset=tmp_path / "subset.json")
    answered(work, [TEXTS[0], TEXTS[2]])
    result = run_evaluation(work, Console(file=io.StringIO()))
    assert (result.num_samples, result.scores["TVG F1"]) == (2, 0.75)
    assert [row["idx"] for row in json.loads((work.folder / PREDICTIONS_FILE).read_text())] == [4, 7]
    with pytest.raises(ConfigError, match="came about with another subset_sha256"):
        run_evaluation(evaluation(model, tmp_path, captions=False), Console(file=io.StringIO()))


def test_without_java_nothing_is_asked(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    work = evaluation(model, tmp_path)
    with pytest.raises(UserError, match=r"no `java` on PATH: install .*, or score without captions"):
        run_evaluation(work, Console(file=io.StringIO()))
    assert not work.folder.exists()
