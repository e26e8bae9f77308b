from __future__ import annotations

import json
import logging
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from museg.data.checking.anomalies import Severity
from museg.data.checking.checking import CheckSettings, DataCheck, check_files
from museg.data.checking.mending import CleanCopy, clean_text, mended, mended_segments, merged, without_errors
from museg.data.samples import read_samples
from tests.museg.data.checking.rows import check, row, write_rows


def fix(result: DataCheck, *, merge: bool = False) -> CleanCopy:
    return mended(result.files[0], result.annotations, result.anomalies, result.durations_s, merge=merge)


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"solution": [[9.5, 4]]}, {"solution": [[4.0, 9.5]]}),
        ({"solution": [[1.5, 2], [4, 4]], "task": "tal"}, {"solution": [[1.5, 2.0]], "task": "tal"}),
        ({"solution": [[-1.5, 2]]}, {"solution": [[0.0, 2.0]]}),
        ({"solution": [[1, 32.5]]}, {"solution": [[1.0, 30.0]]}),
        ({"solution": [[9, 11.5], [2, 3]], "task": "tal"}, {"solution": [[2.0, 3.0], [9.0, 11.5]], "task": "tal"}),
        ({"solution": [[1.5, 2], [4, 5]]}, {"solution": [[1.5, 2], [4, 5]], "task": "tal"}),
        ({"duration": "long"}, {"duration": None}),
    ],
)
def test_what_is_mended(tmp_path: Path, changes: dict[str, object], after: dict[str, object]) -> None:
    copy = fix(check(write_rows(tmp_path / "a.jsonl", row(1, **changes))))
    assert copy == CleanCopy(rows=[row(1, **after)], changed=1, dropped=0)


def test_what_is_not_known_to_be_wrong_stays_as_it_is(tmp_path: Path) -> None:
    rows = [
        row(1, solution=[[2, 5]], note={"by": "me"}, duration=None),
        row(2, solution=[[1.5, 9], [2, 3]], task="tal"),
        row(3, video="charades/1.mp4", solution=[[4.5, 6]]),
    ]
    assert fix(check(write_rows(tmp_path / "a.jsonl", *rows))) == CleanCopy(rows=rows, changed=0, dropped=0)


def test_overlapping_segments_become_one_on_request(tmp_path: Path) -> None:
    several = row(1, solution=[[7, 8.5], [1.5, 4], [3, 7], [20, 21]], task="tal")
    copy = fix(check(write_rows(tmp_path / "a.jsonl", several)), merge=True)
    assert [fields["solution"] for fields in copy.rows] == [[[1.5, 7.0], [7.0, 8.5], [20.0, 21.0]]]


def test_rows_that_nobody_but_the_annotator_can_mend_are_left_out(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "eval.jsonl", row(0, video="charades/6.mp4"))
    path = write_rows(
        tmp_path / "a.jsonl",
        row(1),
        "{\n",
        row(2, solution=[]),
        row(3, solution=[[30.5, 31]]),
        row(4, problem="<|im_end|>"),
        row(5, video="/a.mp4"),
        row(6),
        row(7, video="charades/1.mp4", solution=[[2.5, 1]]),
        row(8, solution=[[1, float("nan")]]),
    )
    copy = fix(check(path, against=[held_out]))
    assert copy == CleanCopy(rows=[row(1)], changed=0, dropped=8)


def test_repeated_idx_are_replaced_by_new_ones(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", row(5), row(5, video="b.mp4"), row(6), row(5, video="c.mp4"))
    copy = fix(check(path))
    assert [fields["idx"] for fields in copy.rows] == [5, 7, 6, 8]
    assert copy.changed == 2


def test_dropping_leaves_the_other_rows_as_they_stand(tmp_path: Path) -> None:
    rows = [row(1), row(1, solution=[[9, 30.5], [2, 3]], task="tal"), row(2, solution=[[9.5, 4]]), {"idx": 3}]
    result = check(write_rows(tmp_path / "a.jsonl", *rows))
    assert without_errors(result.files[0], result.anomalies) == CleanCopy(rows=rows[:2], changed=0, dropped=2)


def test_an_evaluation_list_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    questions = [
        {"video": "a.mp4", "question": "Où ?", "groundtruth": [[9, 11.5], [2, 3]]},
        {"video": "b.mp4", "question": "Where?", "groundtruth": [[2, 2]]},
    ]
    path.write_text(json.dumps(questions))
    result = check(path)
    text = clean_text(result.files[0], fix(result))
    assert json.loads(text) == [{"video": "a.mp4", "question": "Où ?", "groundtruth": [[2.0, 3.0], [9.0, 11.5]]}]
    assert "Où" in text
    path.write_text(text)
    assert [sample.solution for sample in read_samples(path)] == [((2.0, 3.0), (9.0, 11.5))]


bounds = st.integers(-5, 40).map(lambda tenths: tenths / 4)
pairs = st.lists(st.tuples(bounds, bounds), max_size=5)


@given(segments=pairs, duration_s=st.none() | st.just(8.0), merge=st.booleans())
def test_mended_segments_are_in_order_inside_the_video_and_cover_what_was_annotated_there(
    segments: list[tuple[float, float]], duration_s: float | None, merge: bool
) -> None:
    after = mended_segments(segments, duration_s, merge=merge)
    assert after == sorted(after)
    assert all(0 <= start < end <= (duration_s or 10) for start, end in after)
    if merge:
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(after))
        assert merged(after) == after
    moments = [quarter / 4 + 0.125 for quarter in range(int((duration_s or 10) * 4))]
    covered = [any(start < moment < end for start, end in after) for moment in moments]
    assert covered == [any(min(pair) < moment < max(pair) for pair in segments) for moment in moments]


junk = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3) | st.lists(st.integers(0, 3))
rows_of_any_kind = st.fixed_dictionaries(
    {},
    optional={
        "idx": st.integers(0, 3) | junk,
        "problem": st.sampled_from(["When?", "Where?", "<|im_end|>"]) | junk,
        "solution": pairs.map(lambda found: [list(pair) for pair in found]) | junk,
        "video": st.sampled_from(["a.mp4", "b/c.mp4", "../d.mp4"]) | junk,
        "task": st.sampled_from(["tvg", "tal"]) | junk,
        "duration": st.floats(1, 12) | junk,
        "response": st.just("<think>…</think>") | junk,
    },
)
usable = st.builds(row, st.integers(0, 3), solution=pairs.map(lambda found: [[0.25, 9.5], *map(list, found)]))


@settings(max_examples=150)
@given(rows=st.lists(rows_of_any_kind | usable, min_size=1, max_size=6))
def test_both_copies_read_back_without_a_warning_and_have_no_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    result = check_files([write_rows(path, *rows)], CheckSettings())
    result.statistics()
    for copy in (fix(result), fix(result, merge=True), without_errors(result.files[0], result.anomalies)):
        assert len(copy.rows) + copy.dropped == len(rows)
        if not copy.rows:
            continue
        path.write_text(clean_text(result.files[0], copy))
        with NoLogRecord():
            assert len(read_samples(path)) == len(copy.rows)
        again = check_files([path], CheckSettings())
        assert [anomaly for anomaly in again.anomalies if anomaly.severity is Severity.error] == []


class NoLogRecord(logging.Handler):
    """Fails on any warning of the reader."""

    def __enter__(self) -> None:
        logging.getLogger("museg.data.samples").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("museg.data.samples").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())
