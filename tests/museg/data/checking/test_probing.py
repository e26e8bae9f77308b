from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from museg.data.checking.mending import mended
from museg.data.checking.probing import Probe, probe_videos
from museg.errors import DataError
from tests.museg.data.checking.rows import check, found, row, write_rows
from tests.museg.video.footage import write_sound, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole video of 4 s, one damaged in the middle, one whose last third is missing, a sound, an empty file."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("whole.mp4", "damaged.mp4", "cut.mkv"):
        write_video(root / name, num_frames=40, fps=Fraction(10), height=56, width=84)
    damaged, cut = (bytearray((root / name).read_bytes()) for name in ("damaged.mp4", "cut.mkv"))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 300] = bytes(300)
    (root / "damaged.mp4").write_bytes(damaged)
    (root / "cut.mkv").write_bytes(cut[: len(cut) * 2 // 3])
    write_sound(root / "sound.mp4")
    (root / "empty.mp4").touch()
    return root


def test_videos_are_decoded_to_learn_what_is_wrong_with_them(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row(0, video="whole.mp4", duration=4.4),
        row(1, video="whole.mp4", duration=5.5, problem="another"),
        row(2, video="whole.mp4", duration=None, problem="a third", solution=[[1.5, 3], [3.5, 4.25]], task="tal"),
        row(3, video="damaged.mp4", duration=4.0),
        row(4, video="cut.mkv", duration=4.0, solution=[[3.0, 3.5]]),
        row(5, video="sound.mp4"),
        row(6, video="empty.mp4"),
        row(7, video="nowhere.mp4"),
        row(8, video="../whole.mp4"),
        row(9, video="long" * 100),
    ]
    path = write_rows(tmp_path / "a.jsonl", *rows)
    result = check(path, video_root=videos, workers=2)
    assert found(result) == [
        (2, "duration_mismatch", "error"),
        (3, "missing_duration", "warning"),
        (3, "beyond_probed_duration", "warning"),
        (4, "unreadable", "error"),
        (5, "beyond_probed_duration", "error"),
        (5, "duration_mismatch", "error"),
        (6, "unreadable", "error"),
        (7, "unreadable", "error"),
        (8, "missing_file", "error"),
        (9, "unsafe_path", "error"),
        (10, "unsafe_path", "error"),
    ]
    details = [anomaly.detail for anomaly in result.anomalies]
    assert details[0] == "annotated as 5.5 s, the video has 4.000 s"
    assert details[2] == "3.5-4.25 ends after the end at 4 s (by up to 0.25 s)"
    assert details[3].startswith("decord can't decode it (")
    assert details[4].startswith("3-3.5 starts after the end at 2.7 s")
    assert details[7] == f"{videos / 'empty.mp4'} is empty"
    assert details[8] == f"there is no file {videos / 'nowhere.mp4'}"
    assert result.durations_s == pytest.approx({"whole.mp4": 4.0, "cut.mkv": 2.7})
    assert result.statistics().known_durations == 10
    assert capsys.readouterr().out == ""

    copy = mended(result.files[0], result.annotations, result.anomalies, result.durations_s, merge=False)
    assert copy.dropped == 7
    assert [fields["duration"] for fields in copy.rows] == [4.0, 4.0, 4.0]
    assert copy.rows[2]["solution"] == [[1.5, 3.0], [3.5, 4.0]]
    again = check(write_rows(tmp_path / "b.jsonl", *copy.rows), video_root=videos, workers=1)
    assert found(again) == []


def test_a_video_that_takes_too_long_is_given_up(videos: Path) -> None:
    probes = probe_videos(videos, ["whole.mp4"], workers=1, timeout_s=1e-6)
    assert probes == {"whole.mp4": Probe(error="decoding it took longer than 1e-06 s")}


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--video-root .*nowhere isn't a folder"):
        probe_videos(tmp_path / "nowhere", ["a.mp4"], workers=1, timeout_s=1)
