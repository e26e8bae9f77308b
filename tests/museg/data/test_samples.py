from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from museg.data.samples import Sample, read_samples, write_samples
from museg.errors import DataError
from tests.annotations import authors_file

ROW = {"idx": 3, "problem": "When?", "solution": [[1, 2.5]], "video": "a.mp4", "duration": 9, "task": "tvg"}


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in ROW.items() if name != field}


def test_a_row_becomes_a_sample_with_numbers_as_floats(tmp_path: Path) -> None:
    assert read_samples(write_rows(tmp_path / "a.jsonl", ROW)) == [
        Sample(idx=3, problem="When?", solution=((1.0, 2.5),), video="a.mp4", task="tvg", duration_s=9.0)
    ]


def test_the_duration_may_be_unknown(tmp_path: Path) -> None:
    samples = read_samples(write_rows(tmp_path / "a.jsonl", without("duration"), {**ROW, "duration": None}))
    assert [sample.duration_s for sample in samples] == [None, None]


def test_blank_lines_and_a_missing_last_newline_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"\n{json.dumps(ROW)}\r\n\n{json.dumps({**ROW, 'idx': 4})}")
    assert [sample.idx for sample in read_samples(path)] == [3, 4]


def test_an_evaluation_list_takes_its_task_from_the_number_of_segments(tmp_path: Path) -> None:
    single = {"video": "a.mp4", "question": "Where?", "groundtruth": [[1, 2]]}
    several = {"video": "b.mp4", "question": "Where all?", "groundtruth": [[7, 9], [1, 2]]}
    path = tmp_path / "eval.json"
    path.write_text(json.dumps([single], indent=2))
    assert read_samples(path) == [Sample(idx=0, problem="Where?", solution=((1.0, 2.0),), video="a.mp4", task="tvg")]
    path.write_text(json.dumps([single, several]))
    samples = read_samples(path)
    assert [sample.task for sample in samples] == ["tal", "tal"]
    assert samples[1].solution == ((7.0, 9.0), (1.0, 2.0))


def test_inverted_segments_are_turned_round_and_empty_ones_dropped_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_rows(
        tmp_path / "a.jsonl",
        ROW,
        {**ROW, "solution": [[38, 13]]},
        {**ROW, "solution": [[1, 2], [4, 4], [6, 7]]},
    )
    with caplog.at_level(logging.WARNING):
        samples = read_samples(path)
    assert [sample.solution for sample in samples] == [((1.0, 2.5),), ((13.0, 38.0),), ((1.0, 2.0), (6.0, 7.0))]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: 2 rows have segments that don't end after they start; turned round, or dropped if empty: 2, 3"
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without("video"), "field 'video' is missing: add it (found: idx, problem, solution, duration, task)"),
        ({**ROW, "idx": "3"}, "'idx' must be an integer (got '3')"),
        ({**ROW, "idx": True}, "'idx' must be an integer (got True)"),
        ({**ROW, "problem": " "}, "'problem' must be a text that isn't empty"),
        ({**ROW, "task": "vqa"}, "'task' must be one of tvg, tal (got 'vqa')"),
        ({**ROW, "solution": []}, "'solution' must be a list of [start, end], not empty (got [])"),
        ({**ROW, "solution": [1, 2]}, "'solution' must be a list of [start, end] (it holds 1)"),
        ({**ROW, "solution": [[1, 2, 3]]}, "'solution' must be a list of [start, end] (it holds [1, 2, 3])"),
        ({**ROW, "solution": [[1, "2"]]}, "'solution' must be finite seconds of at least 0 (got '2')"),
        ({**ROW, "solution": [[1, float("nan")]]}, "'solution' must be finite seconds of at least 0 (got nan)"),
        ({**ROW, "solution": [[1, float("inf")]]}, "'solution' must be finite seconds of at least 0 (got inf)"),
        ({**ROW, "solution": [[-1, 2]]}, "'solution' must be finite seconds of at least 0 (got -1)"),
        ({**ROW, "solution": [[1, 10**400]]}, "'solution' must be finite seconds of at least 0 (got 1000"),
        ({**ROW, "solution": [[2, 2]]}, "all its segments have zero length: mend or remove the row"),
        ({**ROW, "duration": 0}, "'duration' must be above 0: mend it, or leave it out if it is unknown"),
        ({**ROW, "duration": "9"}, "'duration' must be finite seconds of at least 0 (got '9')"),
        ({**ROW, "response": " "}, "'response' must be a text that isn't empty (got ' ')"),
        ({**ROW, "response": ["a"]}, "'response' must be a text that isn't empty (got ['a'])"),
        ([ROW], "must be a JSON object, one sample (got list)"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: object, message: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", ROW, row)
    with pytest.raises(DataError) as error:
        read_samples(path)
    assert str(error.value).startswith(f"{path}:2: {message}")
    assert "\n" not in str(error.value)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROW) + '\n\n{"idx": 4,\n')
    with pytest.raises(DataError, match=r"a\.jsonl:3: isn't JSON \(.* at column 11\): mend or remove the line"):
        read_samples(path)


def test_a_bad_question_of_an_evaluation_list_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    good = {"video": "a.mp4", "question": "Where?", "groundtruth": [[1, 2]]}
    path.write_text(json.dumps([good, {"video": "a.mp4", "question": "Where?"}]))
    with pytest.raises(DataError, match=r"eval\.json, question 2: field 'groundtruth' is missing"):
        read_samples(path)
    path.write_text('[{"video": 1},\n{]')
    with pytest.raises(DataError, match=r"eval\.json:2: isn't JSON"):
        read_samples(path)


@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
def test_a_file_without_samples_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="holds no samples"):
        read_samples(path)


def test_a_missing_file_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", ROW)
    with pytest.raises(DataError, match=r"trian\.jsonl: no such sample file: did you mean .*train\.jsonl\?"):
        read_samples(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match=r"the folder .*nowhere doesn't exist either"):
        read_samples(tmp_path / "nowhere" / "train.jsonl")


def test_what_is_not_a_text_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read as a sample file"):
        read_samples(tmp_path)
    binary = tmp_path / "a.jsonl"
    binary.write_bytes(b"\x00\xff\xfe")
    with pytest.raises(DataError, match="isn't a text file in UTF-8"):
        read_samples(binary)


seconds = st.floats(0, 1000, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: bool(text.strip()))
samples_of_any_kind = st.builds(
    Sample,
    idx=st.integers(0, 10**6),
    problem=texts,
    solution=st.lists(st.tuples(seconds, seconds).filter(lambda pair: pair[0] < pair[1]), min_size=1, max_size=4).map(
        tuple
    ),
    video=texts,
    task=st.sampled_from(["tvg", "tal"]),
    duration_s=st.none() | st.floats(0.1, 1000),
)


@settings(deadline=None)
@given(samples=st.lists(samples_of_any_kind, min_size=1, max_size=5))
def test_samples_that_are_written_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]
) -> None:
    path = tmp_path_factory.mktemp("samples") / "a.jsonl"
    write_samples(path, samples)
    assert read_samples(path) == samples


@pytest.mark.parametrize(
    ("name", "num_samples", "num_without_duration"),
    [("stage_1.jsonl", 5600, 2819), ("stage_2.jsonl", 7000, 3518)],
)
def test_the_authors_training_files_read_whole(name: str, num_samples: int, num_without_duration: int) -> None:
    samples = read_samples(authors_file(name))
    assert len(samples) == num_samples
    assert sum(sample.duration_s is None for sample in samples) == num_without_duration
    assert all(start < end for sample in samples for start, end in sample.solution)


def test_the_seven_bad_rows_of_the_authors_training_files_are_mended(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stage_1, stage_2 = read_samples(authors_file("stage_1.jsonl")), read_samples(authors_file("stage_2.jsonl"))
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "1349, 2028",
        "917, 1602, 4028, 5070, 6011",
    ]
    assert stage_1[2027].solution == ((0.0, 12.64), (23.61, 32.6))
    assert stage_2[916].solution == ((13.0, 38.0),)
    assert len(stage_2[6010].solution) == 3


@pytest.mark.parametrize(
    ("name", "num_samples", "task", "most_segments"),
    [("charades_sta.json", 3720, "tvg", 1), ("thumos14.json", 227, "tal", 128), ("thumos15.json", 474, "tal", 218)],
)
def test_the_authors_evaluation_files_read_whole(name: str, num_samples: int, task: str, most_segments: int) -> None:
    samples = read_samples(authors_file(name))
    assert len(samples) == num_samples
    assert {sample.task for sample in samples} == {task}
    assert max(len(sample.solution) for sample in samples) == most_segments
