from __future__ import annotations

from pathlib import Path

import pytest

from tests.museg.data.checking.rows import check, found, row, write_rows


def test_the_later_row_with_the_same_idx_or_question_is_the_duplicate(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "a.jsonl",
        row(1),
        row(1, video="other.mp4"),
        row(2, video="charades/1.mp4"),
        row(3, video="charades/1.mp4", solution=[[4.5, 6]]),
        row(4, video="charades/1.mp4", problem="When does it close?"),
    )
    result = check(path)
    assert found(result) == [(2, "duplicate_idx", "warning"), (3, "duplicate", "warning"), (4, "duplicate", "warning")]
    assert [anomaly.detail for anomaly in result.anomalies] == [
        "idx 1 is also that of row 1",
        "asks what row 1 asks about the same video, with the same answer",
        "asks what row 1 asks about the same video, with another answer",
    ]


def test_a_video_of_another_split_is_a_leak(tmp_path: Path) -> None:
    train = write_rows(
        tmp_path / "train.jsonl",
        row(0),
        row(1, video="charades/x.mp4", problem="And when does it close?"),
        row(2, video="charades/x.mp4"),
    )
    held_out = write_rows(tmp_path / "eval.jsonl", row(8), row(9, video="charades/x.mp4"))
    result = check(train, against=[held_out])
    assert found(result) == [(2, "leak", "error"), (3, "leak", "error")]
    assert [anomaly.detail for anomaly in result.anomalies] == [
        f"the same video is in {held_out}, row 2",
        f"the same video and question are in {held_out}, row 2",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "leaks"),
    [
        ("videos/charades/x.mp4", "charades/x.mp4", True),
        ("charades/x.mp4", "videos/charades/x.mp4", True),
        ("./charades//x.mp4", "charades/x.mp4", True),
        ("x.mp4", "x.mp4", True),
        ("charades/x.mp4", "x.mp4", False),
        ("x.mp4", "charades/x.mp4", False),
        ("videos/train/x.mp4", "videos/eval/x.mp4", False),
        ("a/train/x.mp4", "b/train/x.mp4", False),
        ("a/xcharades/x.mp4", "charades/x.mp4", False),
    ],
)
def test_a_video_is_found_again_under_another_root(tmp_path: Path, ours: str, theirs: str, leaks: bool) -> None:
    held_out = write_rows(tmp_path / "eval.jsonl", row(0, video=theirs))
    result = check(write_rows(tmp_path / "train.jsonl", row(0, video=ours)), against=[held_out])
    assert [kind for _, kind, _ in found(result)] == (["leak"] if leaks else [])
