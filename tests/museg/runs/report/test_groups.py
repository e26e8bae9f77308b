from __future__ import annotations

import pytest

from museg.errors import DataError
from museg.runs.directory import RunDirectory
from museg.runs.report.groups import choose_groups, read_groups
from tests.museg.runs.report.conftest import MakeRow


def test_groups_are_told_apart_by_sample_and_by_an_index_that_starts_again(
    new_run: RunDirectory, make_row: MakeRow
) -> None:
    drawn = [(4, 0), (4, 1), (4, 0), (4, 1), (9, 0), (9, 1)]
    new_run.write_rollouts(1, [make_row(idx=idx, index=index) for idx, index in drawn])
    groups = read_groups(new_run, 1)
    assert [(group.idx, [c.index for c in group.completions]) for group in groups] == [
        (4, [0, 1]),
        (4, [0, 1]),
        (9, [0, 1]),
    ]


def test_the_best_the_worst_and_the_most_disputed_group_are_chosen(new_run: RunDirectory, make_row: MakeRow) -> None:
    rewards = {10: (2.9, 3.0), 11: (1.0, 1.1), 12: (0.0, 3.0), 13: (0.2, 0.3)}
    rows = [make_row(idx=idx, index=i, reward=value) for idx, pair in rewards.items() for i, value in enumerate(pair)]
    new_run.write_rollouts(1, rows)
    assert [(chosen.group.idx, chosen.reasons) for chosen in choose_groups(new_run)] == [
        (10, ("best",)),
        (13, ("worst",)),
        (12, ("most disputed",)),
    ]


def test_a_lone_group_is_shown_once_for_all_its_reasons(new_run: RunDirectory, make_row: MakeRow) -> None:
    new_run.write_rollouts(1, [make_row()])
    (chosen,) = choose_groups(new_run)
    assert chosen.reasons == ("best", "worst", "most disputed")


@pytest.mark.parametrize(("on_record", "shown"), [([], []), ([1], [1]), ([1, 2], [1, 2]), ([1, 2, 3, 4, 5], [1, 3, 5])])
def test_first_middle_and_last_step_are_shown(
    new_run: RunDirectory, make_row: MakeRow, on_record: list[int], shown: list[int]
) -> None:
    for step in on_record:
        new_run.write_rollouts(step, [make_row(step=step)])
    assert [chosen.step for chosen in choose_groups(new_run)] == shown


def test_a_step_whose_file_is_empty_is_left_out(new_run: RunDirectory) -> None:
    new_run.write_rollouts(1, [])
    assert choose_groups(new_run) == []


@pytest.mark.parametrize("change", [{"reward": "high"}, {"solution": 3}, {"rewards": None}, {"idx": None}])
def test_a_damaged_rollout_is_named(new_run: RunDirectory, make_row: MakeRow, change: dict[str, object]) -> None:
    new_run.write_rollouts(1, [make_row(**change)])
    with pytest.raises(DataError, match=r"step-000001\.jsonl: a line isn't a completion"):
        read_groups(new_run, 1)


def test_a_rollout_without_a_field_is_named(new_run: RunDirectory, make_row: MakeRow) -> None:
    row = make_row()
    del row["advantage"]
    new_run.write_rollouts(1, [row])
    with pytest.raises(DataError, match=r"\(no 'advantage'\)"):
        read_groups(new_run, 1)
