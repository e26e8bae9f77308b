from __future__ import annotations

from pathlib import Path

from museg.runs.directory import RunDirectory


def test_a_resumed_run_keeps_the_skipped_videos_of_the_steps_that_it_keeps(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.append_skipped([{"step": 1, "video": "nowhere.mp4"}])
    assert not run.path.exists()
    run.create("")
    rows = [{"step": step, "video": f"{step}.mp4"} for step in (1, 2, 3)]
    run.append_skipped(rows)
    run.forget_after(2)
    assert run.read_skipped() == rows[:2]
    run.append_skipped(rows[2:])
    assert run.read_skipped() == rows
