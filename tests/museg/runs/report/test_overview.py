from __future__ import annotations

from museg.runs.directory import RunDirectory
from museg.runs.report.overview import key_figures, score_table
from museg.runs.report.record import read_record


def test_scores_stand_before_and_after_with_their_blind_scores_beside(finished_run: RunDirectory) -> None:
    miou, recall = score_table(read_record(finished_run))
    assert (miou.metric, miou.before, miou.after, miou.gain) == ("miou", "0.420", "0.770", "+0.350")
    assert (miou.blind, miou.above_blind) == ("0.300", "+0.470")
    assert (recall.metric, recall.gain, recall.blind, recall.above_blind) == ("recall@0.5", "−0.050", "", "")
    assert [(mark.kind, mark.left_percent) for mark in miou.marks] == [
        ("blind", 30.0),
        ("before", 42.0),
        ("after", 77.0),
    ]


def test_overlaps_but_one_half_are_details_and_large_scores_widen_the_scale(finished_run: RunDirectory) -> None:
    scores = {"recall@0.1": 0.9, "recall@0.5": 0.4, "segment_matching": 1.5}
    finished_run.write_summary({"status": "completed", "steps": 3, "eval_before": {}, "eval_after": scores})
    table = score_table(read_record(finished_run))
    assert [(row.metric, row.is_detail, row.scale) for row in table] == [
        ("recall@0.1", True, "1"),
        ("recall@0.5", False, "1"),
        ("segment_matching", False, "2"),
    ]
    assert [mark.left_percent for mark in table[2].marks] == [75.0]


def test_key_figures(finished_run: RunDirectory) -> None:
    figures = {figure.label: (figure.value, figure.note) for figure in key_figures(read_record(finished_run))}
    assert figures == {
        "status": ("completed", ""),
        "steps": ("3", "of 3"),
        "mIoU gain": ("+0.350", "0.420 → 0.770"),
        "mIoU above blind": ("+0.470", "blind 0.300"),
        "reward gain": ("+1.000", "0.500 → 1.500"),
        "wall time": ("1:02:03", ""),
        "restarts": ("1", ""),
        "videos skipped": ("1", ""),
    }


def test_a_run_that_has_only_begun_shows_what_it_knows(new_run: RunDirectory) -> None:
    record = read_record(new_run)
    assert [(figure.label, figure.value) for figure in key_figures(record)] == [("status", "running"), ("steps", "0")]
    assert score_table(record) == []


def test_an_interrupted_run_has_scores_before_but_no_gain(finished_run: RunDirectory) -> None:
    finished_run.write_summary({"status": "interrupted", "steps": 3, "eval_before": {"miou": 0.42}, "eval_after": {}})
    (row,) = score_table(read_record(finished_run))
    assert (row.before, row.after, row.gain) == ("0.420", "", "")
