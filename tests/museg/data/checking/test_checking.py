from __future__ import annotations

from pathlib import Path

import pytest

from museg.data.checking.anomalies import RULES, Kind
from museg.data.checking.checking import CheckSettings, check_files
from museg.data.checking.statistics import Statistics
from museg.evaluation.blind import AnswerUnit, ConstantAnswer
from tests.annotations import authors_file
from tests.museg.data.checking.rows import check, row, write_rows


def test_every_kind_has_a_rule() -> None:
    assert list(RULES) == list(Kind)


def test_rows_of_several_files_are_counted_together_and_told_apart(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "a.jsonl", row(1, solution=[[9.5, 4]]), row(2))
    second = write_rows(tmp_path / "b.jsonl", row(1), row(2, solution=[[9.5, 4]]), row(3, solution=[[7.5, 7.5]]))
    result = check_files([first, second], CheckSettings())
    assert result.counts == {Kind.inverted: 3}, "an idx may be in both"
    assert [(anomaly.file, anomaly.row) for anomaly in result.anomalies] == [
        (str(first), 1),
        (str(second), 2),
        (str(second), 3),
    ]


def test_statistics_of_a_small_data_set(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "a.jsonl",
        row(1, video="x/charades/1.mp4", solution=[[0, 2.5]], duration=10.0),
        row(2, video="x/charades/1.mp4", solution=[[6, 1]], duration=10.0, problem="b"),
        row(3, video="x/hacs/2.mp4", solution=[[0, 2.5], [3, 3], [50, 190.0]], duration=200.0, task="tal"),
        row(4, video="a.mp4", solution=[[0, 2.5]], duration=None),
        row(5, video="a.mp4", solution=[[3, 3]], duration=None, problem="c"),
    )
    by_length = {"0-2 s": 0, "2-5 s": 3, "5-10 s": 1, "10-20 s": 0, "20-30 s": 0, "30-60 s": 0, "60-120 s": 0}
    by_position = {f"{low}-{low + 10}%": 0 for low in range(0, 100, 10)}
    assert check(path).statistics() == Statistics(
        rows=5,
        videos=3,
        tasks={"tvg": 4, "tal": 1},
        sources={"x/charades": 2, ".": 2, "x/hacs": 1},
        known_durations=3,
        unknown_durations=2,
        segments_per_row={"1": 3, "2": 1},
        segment_lengths_s={**by_length, "120 s and more": 1},
        segment_positions={**by_position, "0-10%": 1, "10-20%": 1, "30-40%": 1, "60-70%": 1},
        longest_segment_s=140.0,
        longest_duration_s=200.0,
        best_constant_answer=ConstantAnswer(
            segment=(0.0, 2.5), unit=AnswerUnit.seconds, miou=pytest.approx((3 + 1.5 / 6) / 4)
        ),
    )


def test_statistics_without_a_usable_row(tmp_path: Path) -> None:
    statistics = check(write_rows(tmp_path / "a.jsonl", row(1, solution=[[3, 3]], duration=None))).statistics()
    assert (statistics.rows, statistics.best_constant_answer, statistics.longest_duration_s) == (1, None, None)
    assert statistics.segments_per_row == {}


def test_the_authors_training_data_has_the_known_anomalies() -> None:
    first, second = [authors_file("stage_1.jsonl"), authors_file("stage_2.jsonl")]
    result = check_files([first, second], CheckSettings())
    assert result.counts == {
        Kind.inverted: 7,
        Kind.beyond_duration: 410,
        Kind.overlapping: 109,
        Kind.integer_bounds: 364,
        Kind.missing_duration: 6337,
    }
    inverted = [(anomaly.file, anomaly.idx) for anomaly in result.anomalies if anomaly.kind is Kind.inverted]
    assert inverted == [(str(first), 1348), (str(first), 2027)] + [
        (str(second), idx) for idx in (916, 1601, 4027, 5069, 6010)
    ]
    starting_there = [anomaly for anomaly in result.anomalies if "starts after the end" in anomaly.detail]
    assert [(anomaly.file, anomaly.idx) for anomaly in starting_there] == [
        (str(first), idx) for idx in (2027, 4098, 5184)
    ]
    statistics = result.statistics()
    assert (statistics.rows, statistics.videos) == (12_600, 10_076)
    assert statistics.segments_per_row["1"] == 6967
    assert max(statistics.segments_per_row, key=int) == "10"


def test_the_authors_thumos_questions_are_unsorted_as_known() -> None:
    (path,) = [authors_file("thumos14.json")]
    counts = check(path).counts
    assert (counts[Kind.unsorted], counts[Kind.missing_duration]) == (30, 227)
