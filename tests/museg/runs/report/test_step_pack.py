from __future__ import annotations

import gzip
import json
from typing import Any

from museg.runs.directory import RunDirectory
from museg.runs.report.rollouts import RecordedSample, read_groups
from museg.runs.report.step_pack import StepPack, pack_step
from tests.museg.runs.report.conftest import MakeRow


def packed(run: RunDirectory, num_characters: int = 10_000) -> tuple[StepPack, Any]:
    numbers: dict[RecordedSample, int] = {}
    pack = pack_step(
        1, read_groups(run, 1), lambda one: numbers.setdefault(one, len(numbers)), num_characters=num_characters
    )
    return pack, json.loads(gzip.decompress(pack.packed))


def test_a_group_s_completions_stand_in_columns(new_run: RunDirectory, make_row: MakeRow) -> None:
    text = "<think>at 2 and 3</think><answer>2-3 5.25-8.125</answer>"
    rows = [
        make_row(),
        make_row(index=1, completion=text, reward=0.12345, finish_reason="length", logprob_gap_max=None),
    ]
    new_run.write_rollouts(1, rows)
    _, content = packed(new_run)
    (group,) = content["groups"]
    assert group["r"] == [3.0, 0.123]
    assert group["y"] == [[5.0, 10.0], [2.0, 3.0, 5.25, 8.12]]
    assert group["g"] == [2e-6, None]
    assert [content["finishes"][code] for code in group["f"]] == ["stop", "length"]
    assert dict(zip(content["parts"], group["p"], strict=True)) == {
        "format": [1.0, 1.0],
        "segment_matching": [2.0, 2.0],
    }
    assert group["t"] == [rows[0]["completion"], text]


def test_a_part_that_only_some_completions_have_is_null_in_the_others(new_run: RunDirectory, make_row: MakeRow) -> None:
    new_run.write_rollouts(1, [make_row(rewards={"format": 1}), make_row(index=1, rewards={"own": 0.5})])
    _, content = packed(new_run)
    assert content["parts"] == ["format", "own"]
    assert content["groups"][0]["p"] == [[1, None], [None, 0.5]]


def test_texts_are_kept_of_the_worst_the_best_and_the_most_disputed_group_first(
    new_run: RunDirectory, make_row: MakeRow
) -> None:
    rewards = {10: (2.0, 2.2), 11: (2.9, 3.0), 12: (1.0, 1.1), 13: (0.0, 3.0), 14: (0.2, 0.3)}
    new_run.write_rollouts(
        1,
        [
            make_row(idx=idx, index=index, reward=reward, completion="x" * 10)
            for idx, pair in rewards.items()
            for index, reward in enumerate(pair)
        ],
    )

    def kept(num_characters: int) -> list[int]:
        _, content = packed(new_run, num_characters)
        return [idx for idx, group in zip(rewards, content["groups"], strict=True) if "t" in group]

    assert kept(0) == []
    assert kept(20) == [14]
    assert kept(60) == [11, 13, 14]
    assert kept(99) == [10, 11, 13, 14]
    assert kept(100) == [10, 11, 12, 13, 14]


def test_a_sample_that_comes_again_has_the_same_number(new_run: RunDirectory, make_row: MakeRow) -> None:
    rows = [make_row(idx=4), make_row(idx=9), make_row(idx=4), make_row(idx=4, problem="Another phase's?")]
    new_run.write_rollouts(1, rows)
    pack, _ = packed(new_run)
    assert pack.samples == (0, 1, 0, 2)


def test_an_empty_step_is_packed(new_run: RunDirectory) -> None:
    new_run.write_rollouts(1, [])
    pack, content = packed(new_run)
    assert (pack.samples, pack.num_texts, content["groups"]) == ((), 0, [])
