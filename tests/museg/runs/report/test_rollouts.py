from __future__ import annotations

import pytest

from museg.errors import DataError
from museg.runs.directory import RunDirectory
from museg.runs.report.rollouts import read_groups
from tests.museg.runs.report.conftest import MakeRow


def test_groups_are_told_apart_by_sample_and_by_an_index_that_starts_again(
    new_run: RunDirectory, make_row: MakeRow
) -> None:
    drawn = [(4, 0), (4, 1), (4, 0), (4, 1), (9, 0), (9, 1)]
    new_run.write_rollouts(1, [make_row(idx=idx, index=index) for idx, index in drawn])
    groups = read_groups(new_run, 1)
    assert [(group.sample.idx, [c.index for c in group.completions]) for group in groups] == [
        (4, [0, 1]),
        (4, [0, 1]),
        (9, [0, 1]),
    ]


def test_mean_and_deviation_are_of_the_group_s_rewards(new_run: RunDirectory, make_row: MakeRow) -> None:
    new_run.write_rollouts(
        1, [make_row(index=index, reward=reward) for index, reward in enumerate((1.0, 2.0, 3.0, 6.0))]
    )
    (group,) = read_groups(new_run, 1)
    assert (group.reward_mean, group.reward_std) == (3.0, pytest.approx(3.5**0.5))


def test_a_step_whose_file_is_empty_has_no_groups(new_run: RunDirectory) -> None:
    new_run.write_rollouts(1, [])
    assert read_groups(new_run, 1) == []


@pytest.mark.parametrize("change", [{"reward": "high"}, {"solution": 3}, {"rewards": None}, {"idx": None}])
def test_a_damaged_rollout_is_named_with_its_line(
    new_run: RunDirectory, make_row: MakeRow, change: dict[str, object]
) -> None:
    new_run.write_rollouts(1, [make_row(), make_row(index=1, **change)])
    with pytest.raises(DataError, match=r"step-000001\.jsonl, line 2: isn't a completion .*; remove the file"):
        read_groups(new_run, 1)


def test_a_rollout_without_a_field_is_named(new_run: RunDirectory, make_row: MakeRow) -> None:
    row = make_row()
    del row["advantage"]
    new_run.write_rollouts(1, [row])
    with pytest.raises(DataError, match="missing required field `advantage`"):
        read_groups(new_run, 1)


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{", b"[]"])
def test_a_file_that_isn_t_text_is_named(new_run: RunDirectory, make_row: MakeRow, damage: bytes) -> None:
    new_run.write_rollouts(1, [make_row()])
    file = new_run.rollouts_file(1)
    file.write_bytes(file.read_bytes() + damage)
    with pytest.raises(DataError, match="line 2: isn't a completion"):
        read_groups(new_run, 1)
