from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.data.samples import Sample
from museg.errors import DataError
from museg.evaluation.et_bench.samples import read_et_bench
from museg.evaluation.exams import GroundingExam
from museg.evaluation.predictions import answer_of, read_predictions, write_et_bench_predictions, write_predictions

SAMPLES = [
    Sample(idx=7, problem="when?", solution=((1.25, 3.5), (0.1, 0.7)), video="a.mp4", task="tal", duration_s=9.75),
    Sample(idx=8, problem="and when?", solution=((2.0, 4.0),), video="b.mp4", task="tvg"),
]
TEXTS = ["<think>1.25 to 3.0</think>\n<answer> 1.25-3.0 </answer>", "<answer>1-2</answer><answer>1-2</answer>"]


def test_written_predictions_score_as_the_answers_did(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(path, SAMPLES, TEXTS)
    predictions = read_predictions(path)
    assert predictions.complete
    assert GroundingExam(samples=predictions.samples).scores(predictions.texts) == GroundingExam(
        samples=SAMPLES
    ).scores(TEXTS)
    assert [row["output"] for row in json.loads(path.read_text())] == ["1.25-3.0", ""]
    assert [sample.duration_s for sample in predictions.samples] == [9.75, None]


def test_the_authors_result_files_are_read_without_their_statistics(tmp_path: Path) -> None:
    path = tmp_path / "eval_thumos14.json"
    rows = [
        {"video": "a.mp4", "question": "?", "groundtruth": [[1, 2]], "result": {"output": "1-2", "conversation": []}}
    ]
    path.write_text(json.dumps([*rows, {"tot": 1, "mean_f1_multi": 1.0}]))
    predictions = read_predictions(path)
    assert predictions.texts == ("<answer>1-2</answer>",)
    assert predictions.samples[0].solution == ((1.0, 2.0),)
    assert not predictions.complete


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "must be a JSON list"),
        ("[", ":1: isn't JSON"),
        ("[]", "holds no predictions"),
        ("[1]", "row 1: must be a JSON object"),
        ('[{"output": "1-2"}]', "row 1: field 'groundtruth' is missing"),
        ('[{"groundtruth": [[1, 2]]}]', "row 1: 'output' must be the answer as a text"),
        ('[{"groundtruth": [[1, 2]], "result": {"output": null}}]', "row 1: 'output' must be"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(content: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(DataError) as raised:
        read_predictions(path)
    assert complaint in str(raised.value)


def test_et_bench_keeps_the_rows_that_were_asked_and_gets_answers(tmp_path: Path) -> None:
    row = {"task": "vhd", "source": "made", "video": "a.mp4", "q": "when?", "tgt": [1, 2], "more": 7}
    questions = tmp_path / "et_bench.json"
    questions.write_text(json.dumps([{**row, "idx": idx} for idx in (5, 3, 4)]))
    samples = read_et_bench(questions)
    write_et_bench_predictions(tmp_path / "predictions.json", questions, [samples[0], samples[2]], [TEXTS[0], "none"])
    assert json.loads((tmp_path / "predictions.json").read_text()) == [
        {**row, "idx": 5, "a": "1.25-3.0"},
        {**row, "idx": 4, "a": ""},
    ]


def test_an_answer_is_what_stands_in_the_only_pair_of_tags() -> None:
    assert answer_of("<think>.</think><answer>\n 3-4\n</answer>") == "3-4"
    assert answer_of("no tags") == ""
