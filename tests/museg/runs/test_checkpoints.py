from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from museg.errors import CheckpointError
from museg.runs.checkpoints import Checkpoints, best_step
from museg.runs.manifest import check_whole, files_below


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Steps 10 and 20."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (10, 20):
        _write(checkpoints, step)
    return checkpoints


def _write(checkpoints: Checkpoints, step: int) -> None:
    with checkpoints.new(step) as folder:
        for name, size in (("hf/model.safetensors", 700), ("state/learner/rank.pt", 300), ("state/latest", 7)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((name * 100).encode()[:size])
        (folder / "trainer.json").write_text(f'{{"step": {step}}}')


def test_the_newest_whole_one_is_taken_and_each_other_named(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest_whole() == (20, [])
    for step in (30, 40):
        _write(checkpoints, step)
    (checkpoints.folder(40) / "state" / "learner" / "rank.pt").unlink()
    (checkpoints.folder(30) / "manifest.json").unlink()
    newest, (of_40, of_30) = checkpoints.newest_whole()
    assert newest == 20
    assert of_40 == f"{checkpoints.folder(40)} is torn: state/learner/rank.pt is missing"
    assert of_30.startswith(f"{checkpoints.folder(30)} has no manifest.json")
    assert checkpoints.steps() == [10, 20, 30, 40], "they stay where they are"


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_a_changed_byte_anywhere_is_noticed(checkpoints: Checkpoints, data: st.DataObject) -> None:
    folder = checkpoints.folder(20)
    name = data.draw(st.sampled_from(list(files_below(folder))))
    content = bytearray((folder / name).read_bytes())
    place, flip = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    content[place] ^= flip
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(content)
    try:
        newest, complaints = checkpoints.newest_whole()
        assert (newest, len(complaints)) == (10, 1)
    finally:
        (folder / name).write_bytes(before)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_file_cut_anywhere_is_noticed(checkpoints: Checkpoints, data: st.DataObject) -> None:
    folder = checkpoints.folder(20)
    name = data.draw(st.sampled_from(list(files_below(folder))))
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before[: data.draw(st.integers(0, len(before) - 1))])
    try:
        with pytest.raises(CheckpointError, match=r"torn|corrupt"):
            check_whole(folder)
    finally:
        (folder / name).write_bytes(before)


def test_pickles_that_nobody_wrote_and_links_are_refused(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (checkpoints.folder(20) / "state" / "learner" / "another.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"its manifest doesn't name state/learner/another\.pt"):
        check_whole(checkpoints.folder(20))
    target = checkpoints.folder(10) / "state" / "latest"
    shutil.copy(target, tmp_path / "same")
    target.unlink()
    target.symlink_to(tmp_path / "same")
    with pytest.raises(CheckpointError, match="state/latest is missing"):
        check_whole(checkpoints.folder(10))


def test_one_folder_of_a_checkpoint_can_be_checked_alone(checkpoints: Checkpoints) -> None:
    (checkpoints.folder(20) / "state" / "latest").write_bytes(b"another")
    check_whole(checkpoints.folder(20), under="hf/")
    with pytest.raises(CheckpointError, match="state/latest isn't what was written"):
        check_whole(checkpoints.folder(20))


def test_later_checkpoints_of_an_earlier_life_take_nobody_s_place(checkpoints: Checkpoints) -> None:
    for step in (30, 90):
        _write(checkpoints, step)
    checkpoints.prune(2, newest=30)
    assert checkpoints.steps() == [20, 30, 90]


def test_the_best_one_stays_beside_the_newest(checkpoints: Checkpoints) -> None:
    for step, best in ((30, 10), (40, 40), (50, 40), (60, 40)):
        _write(checkpoints, step)
        checkpoints.prune(2, newest=step, best=best)
    assert checkpoints.steps() == [40, 50, 60]


def test_the_best_one_is_the_first_with_the_highest_value_among_those_there() -> None:
    rows = [{"step": step, "eval/miou": miou} for step, miou in ((10, 0.2), (20, 0.5), (30, 0.9), (40, 0.5))]
    rows += [{"step": 50}]
    assert best_step(rows, "eval/miou", [10, 20, 40, 50]) == 20
    assert best_step(rows, "reward/mean", [10, 20, 40, 50]) is None


def test_the_link_follows_the_best_one(checkpoints: Checkpoints) -> None:
    for step in (10, 20):
        checkpoints.mark_best(step)
        assert (checkpoints.path / "best").resolve() == checkpoints.folder(step).resolve()
    assert checkpoints.steps() == [10, 20]
