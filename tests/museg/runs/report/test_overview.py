from __future__ import annotations

from museg.runs.directory import RunDirectory
from museg.runs.report.overview import key_figures, score_table
from museg.runs.report.record import read_record


def test_scores_stand_before_and_after_with_their_blind_scores_beneath(finished_run: RunDirectory) -> None:
    table = score_table(read_record(finished_run))
    assert [(row.metric, row.before, row.after, row.gain) for row in table] == [
        ("miou", "0.420", "0.770", "+0.350"),
        ("blind", "0.200", "0.300", "+0.100"),
        ("above blind", "0.220", "0.470", "+0.250"),
        ("recall@0.5", "0.300", "0.250", "-0.050"),
    ]
    assert [row.is_detail for row in table] == [False, True, True, False]


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
