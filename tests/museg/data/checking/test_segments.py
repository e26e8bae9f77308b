from __future__ import annotations

from pathlib import Path

import pytest

from tests.museg.data.checking.rows import check, row, write_rows


def anomalies_of(tmp_path: Path, **changes: object) -> list[tuple[str, str, str]]:
    result = check(write_rows(tmp_path / "a.jsonl", row(1, **{"task": "tal", **changes})))
    return [(str(anomaly.kind), str(anomaly.severity), anomaly.detail) for anomaly in result.anomalies]


@pytest.mark.parametrize(
    ("solution", "kind", "severity", "detail"),
    [
        ([[9.5, 4]], "inverted", "error", "9.5-4 ends before it starts"),
        ([[1.5, 2], [4, 4]], "inverted", "error", "4-4 has no length"),
        ([[-1.5, 2]], "negative", "error", "-1.5-2 starts before 0"),
        ([[1, 30.5]], "beyond_duration", "warning", "1-30.5 ends after the end at 30 s (by up to 0.5 s)"),
        ([[1, 31.0]], "beyond_duration", "warning", "1-31 ends after the end at 30 s (by up to 1 s)"),
        ([[1.5, 2], [9, 32]], "beyond_duration", "error", "9-32 ends after the end at 30 s (by up to 2 s)"),
        ([[1.5, 2], [30, 30.5]], "beyond_duration", "error", "30-30.5 starts after the end at 30 s (by up to 0.5 s)"),
        ([[1.5, 9], [2, 3]], "overlapping", "warning", "2-3 begins before an earlier one ends"),
        ([[9.5, 11], [2, 3]], "unsorted", "warning", "9.5-11 2-3: not by start"),
        ([[2, 5], [7, 9]], "integer_bounds", "warning", "2-5 7-9: whole seconds only"),
    ],
)
def test_each_fault_of_segments(tmp_path: Path, solution: object, kind: str, severity: str, detail: str) -> None:
    assert anomalies_of(tmp_path, solution=solution) == [(kind, severity, detail)]


@pytest.mark.parametrize(
    "solution",
    [
        [[0.0, 30.0]],
        [[1.5, 2.0], [2.0, 3.0]],
        [[2.0, 5.0]],
    ],
    ids=["the whole video", "touching segments", "whole seconds written with a fraction"],
)
def test_what_is_not_a_fault(tmp_path: Path, solution: object) -> None:
    assert anomalies_of(tmp_path, solution=solution) == []


def test_a_segment_that_holds_two_others_overlaps_both(tmp_path: Path) -> None:
    ((kind, _, detail),) = anomalies_of(tmp_path, solution=[[1.5, 20], [2, 3], [5, 6]])
    assert (kind, detail) == ("overlapping", "2-3 5-6 begins before an earlier one ends")


def test_an_inverted_segment_counts_as_beyond_the_duration_and_overlapping_too(tmp_path: Path) -> None:
    kinds = [kind for kind, _, _ in anomalies_of(tmp_path, solution=[[38.5, 13], [14, 20]])]
    assert kinds == ["inverted", "overlapping", "beyond_duration"]


def test_tvg_asks_for_one_segment(tmp_path: Path) -> None:
    two = [[1.5, 2], [4, 5]]
    assert anomalies_of(tmp_path, solution=two, task="tvg") == [("wrong_task", "error", "tvg with 2 segments")]
    assert anomalies_of(tmp_path, solution=two, task="tal") == []


def test_without_a_duration_nothing_lies_beyond_it(tmp_path: Path) -> None:
    assert [kind for kind, _, _ in anomalies_of(tmp_path, solution=[[1, 1e5 + 0.5]], duration=None)] == [
        "missing_duration"
    ]
