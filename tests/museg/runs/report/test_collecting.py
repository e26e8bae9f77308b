from __future__ import annotations

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report import collecting
from museg.runs.report.collecting import Collector
from tests.museg.runs.report.conftest import MakeRow


def test_only_steps_that_are_new_or_done_again_are_read(new_run: RunDirectory, make_row: MakeRow) -> None:
    for step in (1, 2):
        new_run.write_rollouts(step, [make_row(step=step)])
    collector = Collector(new_run)
    first = collector.collect(3)
    new_run.write_rollouts(2, [make_row(step=2, reward=0.25)])
    new_run.write_rollouts(3, [make_row(step=3, idx=5)])
    second = collector.collect(3)
    assert [pack.step for pack in second] == [1, 2, 3]
    assert second[0] is first[0]
    assert second[1].reward_means == (0.25,)
    assert [sample.idx for sample in collector.samples] == [4, 5]


def test_of_a_run_that_is_too_long_regularly_spaced_steps_are_kept(new_run: RunDirectory, make_row: MakeRow) -> None:
    for step in range(1, 12):
        new_run.write_rollouts(step, [make_row(step=step, index=index) for index in (0, 1)])
    collector = Collector(new_run, max_completions=6)
    assert [pack.step for pack in collector.collect(None)] == [1, 4, 8, 11]
    assert collector.stride == 4


def test_all_steps_share_the_room_for_texts(
    new_run: RunDirectory, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        new_run.write_rollouts(step, [make_row(idx=idx, completion="x" * 10) for idx in range(4)])
    monkeypatch.setattr(collecting, "MAX_CHARACTERS", 60)
    assert [pack.num_texts for pack in Collector(new_run).collect(2)] == [3, 3]
    assert [pack.num_texts for pack in Collector(new_run).collect(6)] == [1, 1]


def test_a_run_without_rollouts_has_no_steps(new_run: RunDirectory) -> None:
    assert Collector(new_run).collect(400) == []
