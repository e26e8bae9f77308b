from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.errors import DataError
from tests.museg.data.checking.rows import Row, check, found, row, write_rows

NAN = float("nan")
SHORTEN = "shorten it to 100,000 at most"
ONLY_FILES = "only files are read, by a path below data.video_root"
UNPRINTABLE = "its path holds a control character or what is no text: rename it"
RELATIVE = "write it relative to data.video_root"
ABSOLUTE = f"{RELATIVE}, or allow it (data.allow_outside=true)"


def test_a_clean_row_has_no_anomaly(tmp_path: Path) -> None:
    result = check(write_rows(tmp_path / "a.jsonl", row(1), row(2, response="<think>so</think>")))
    assert found(result) == []
    assert not result.has_errors
    assert result.counts == {}


@pytest.mark.parametrize(
    ("bad", "kind", "detail"),
    [
        (row(7, video=None), "missing_field", "no 'video' (found: idx, problem, solution, duration, task)"),
        (row(7, solution=None), "missing_field", "no 'solution' (found: idx, problem, video, duration, task)"),
        (row(7, problem=" "), "wrong_type", "'problem' must be a text that isn't empty (got ' ')"),
        (row(7, response=3), "wrong_type", "'response' must be a text that isn't empty (got 3)"),
        ({**row(7), "idx": True}, "wrong_type", "'idx' must be an integer (got True)"),
        (row(7, solution=[1, 2]), "wrong_type", "'solution' must be a list of [start, end] (got [1, 2])"),
        (row(7, solution=[[1, 2, 3]]), "wrong_type", "'solution' must be a list of [start, end] (got [[1, 2, 3]])"),
        (row(7, solution={}), "wrong_type", "'solution' must be a list of [start, end] (got {})"),
        (row(7, solution=[[1.5, "2"]]), "wrong_type", "'solution' must hold numbers (got '2')"),
        (row(7, solution=[[1.5, None]]), "wrong_type", "'solution' must hold numbers (got None)"),
        (row(7, solution=[[False, 2.0]]), "wrong_type", "'solution' must hold numbers (got False)"),
        (row(7, solution=[[1.5, NAN]]), "non_finite", "'solution' must hold finite seconds (got nan)"),
        (row(7, solution=[[1.5, 1e300]]), "non_finite", "'solution' must hold finite seconds (got 1e+300)"),
        (row(7, solution=[]), "empty_solution", "no segment at all"),
        (row(7, task="vqa"), "unknown_task", "'task' must be one of tvg, tal (got 'vqa')"),
        (row(7, task=["tvg"]), "unknown_task", "'task' must be one of tvg, tal (got ['tvg'])"),
        (row(7, problem="a <|video_pad|> b"), "special_token", "'problem' holds <|video_pad|>"),
        (row(7, response="a<|im_end|>"), "special_token", "'response' holds <|im_end|>"),
        (row(7, problem="a\x1b[2Jb"), "unsafe_text", r"'problem' holds the control character '\x1b': remove it"),
        (
            row(7, response="a" * 100_001),
            "unsafe_text",
            "'response' has 100,001 characters: shorten it to 100,000 at most",
        ),
        (row(7, video="/etc/a.mp4"), "unsafe_path", "'/etc/a.mp4': its path is absolute: " + ABSOLUTE),
        (row(7, video="a/../../b.mp4"), "unsafe_path", "'a/../../b.mp4': its path holds '..': " + RELATIVE),
        (row(7, video="http://a/b.mp4"), "unsafe_path", "'http://a/b.mp4': its path is a URL: " + ONLY_FILES),
        (
            row(7, video="a\x1b[2J.mp4"),
            "unsafe_path",
            r"'a\x1b[2J.mp4': " + UNPRINTABLE,
        ),
        (row(7, duration=0), "bad_duration", "'duration' must be seconds above 0 (got 0)"),
        (row(7, duration="9"), "bad_duration", "'duration' must be seconds above 0 (got '9')"),
        (row(7, duration=float("inf")), "bad_duration", "'duration' must be seconds above 0 (got inf)"),
    ],
)
def test_a_bad_field_is_an_error_of_its_row_alone(tmp_path: Path, bad: Row, kind: str, detail: str) -> None:
    result = check(write_rows(tmp_path / "a.jsonl", row(1), bad))
    (anomaly,) = result.anomalies
    assert (anomaly.row, anomaly.kind, anomaly.severity, anomaly.detail) == (2, kind, "error", detail)
    assert anomaly.idx == (None if bad["idx"] is True else 7)
    assert anomaly.video == bad.get("video")
    assert result.has_errors


def test_every_fault_of_a_row_is_told(tmp_path: Path) -> None:
    result = check(write_rows(tmp_path / "a.jsonl", {"problem": 1, "solution": [[9, 4.5]], "task": "x"}))
    assert found(result) == [
        (1, "missing_field", "error"),
        (1, "wrong_type", "error"),
        (1, "missing_field", "error"),
        (1, "unknown_task", "error"),
        (1, "missing_duration", "warning"),
        (1, "inverted", "error"),
    ]
    assert result.counts["missing_field"] == 1, "rows are counted, not anomalies"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ('{"idx": 4,\n', "not JSON (Expecting property name enclosed in double quotes at column 11)"),
        ("[1]\n", "a list instead of a JSON object"),
        ('{"problem": "\\ud800"}\n', "holds half of a surrogate pair, which is no text"),
        ("[" * 100_000 + "\n", "not JSON (it is nested more than 50 deep)"),
        ("9" * 5000 + "\n", "not JSON (it holds an integer of too many digits)"),
        ('{"idx": 1, "idx": 2}\n', "not JSON (the field 'idx' stands twice in an object)"),
    ],
)
def test_a_malformed_line_is_an_anomaly_and_the_others_are_read(tmp_path: Path, line: str, detail: str) -> None:
    result = check(write_rows(tmp_path / "a.jsonl", row(1), "\n", line, row(2, solution=[[4.5, 4.5]])))
    assert found(result) == [(3, "malformed", "error"), (4, "inverted", "error")]
    assert result.anomalies[0].detail.startswith(detail)


def test_an_evaluation_list_has_no_idx_and_task_to_miss(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    several = {"video": "b.mp4", "question": "Where?", "groundtruth": [[7.5, 9], [1, 2]]}
    path.write_text(json.dumps([several, {"video": "c.mp4", "question": "Where?"}]))
    result = check(path)
    assert found(result) == [
        (1, "missing_duration", "warning"),
        (1, "unsorted", "warning"),
        (2, "missing_field", "error"),
        (2, "missing_duration", "warning"),
    ]
    assert [anomaly.idx for anomaly in result.anomalies] == [0, 0, 1, 1]
    assert "no 'groundtruth'" in result.anomalies[2].detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "holds no samples"),
        ("[]", "holds no samples"),
        ("[1,\n}]", r"a\.json:2: isn't JSON"),
        ("one\ntwo\n", r"isn't a sample file: none of its 2 rows is a JSON object \(row 1: not JSON"),
    ],
)
def test_what_is_no_sample_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        check(path)
