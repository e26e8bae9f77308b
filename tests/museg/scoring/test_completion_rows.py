from __future__ import annotations

import json

import pytest

from museg.errors import DataError
from museg.scoring.completion_rows import NO_TASK, read_completion_row

ROW = {"completion": "<answer>1-2</answer>", "solution": [[1, 2]]}


def test_a_row_needs_a_completion_and_a_solution_alone() -> None:
    row = read_completion_row(json.dumps(ROW).encode(), "rows.jsonl:4", 4)
    assert row.completion == "<answer>1-2</answer>"
    assert (row.sample.solution, row.sample.task, row.sample.duration_s) == (((1, 2),), NO_TASK, None)
    fuller = json.dumps({**ROW, "task": "rvc", "duration": 9.5, "mine": [1]}).encode()
    row = read_completion_row(fuller, "rows.jsonl:4", 4)
    assert (row.sample.task, row.sample.duration_s, row.fields["mine"]) == ("rvc", 9.5, [1])


def test_segments_are_mended_as_in_sample_files() -> None:
    row = read_completion_row(b'{"completion": "", "solution": [[38, 13], [5, 5]]}', "rows.jsonl:1", 1)
    assert row.sample.solution == ((13, 38),)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", r"rows\.jsonl:4: isn't JSON \(.* at column 2\): mend"),
        (b"[1]", r"rows\.jsonl:4: must be a JSON object, one completion a line \(got list\)"),
        (b'{"a": "\xff"}', r"rows\.jsonl:4: isn't text in UTF-8 .*at byte 7"),
        (b"[" * 100_000, r"rows\.jsonl:4: isn't JSON \(it is nested more than 50 deep"),
        (b'{"solution": [[1, 2]]}', "field 'completion' is missing: put what the model wrote there"),
        (b'{"completion": 3, "solution": [[1, 2]]}', r"field 'completion' must be a text \(got 3\)"),
        (b'{"completion": ""}', "field 'solution' is missing: add it"),
        (b'{"completion": "", "solution": []}', r"'solution' must be a list of \[start, end\], not empty"),
        (b'{"completion": "", "solution": [[5, 5]]}', "all segments of 'solution' have zero length"),
        (b'{"completion": "", "solution": [[0, NaN]]}', "'solution' must be finite seconds"),
        (b'{"completion": "", "solution": [[1, 2]], "duration": 0}', "'duration' must be above 0"),
        (b'{"completion": "", "solution": [[1, 2]], "task": 1}', "'task' must be a text"),
    ],
)
def test_a_row_that_cannot_be_scored_is_refused_with_its_place(line: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as refusal:
        read_completion_row(line, "rows.jsonl:4", 4)
    assert str(refusal.value).startswith("rows.jsonl:4: ")
