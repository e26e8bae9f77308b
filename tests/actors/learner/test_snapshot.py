from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from actors.learner import snapshot as module
from actors.learner.snapshot import laid_out, snapshot, write_files
from museg.errors import CheckpointError

ROOM = 20_000


@pytest.fixture
def scratch_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_IN_MEMORY", tmp_path / "memory")
    (tmp_path / "memory").mkdir()
    return tmp_path / "memory"


def save_state(folder: Path) -> None:
    """As DeepSpeed's first rank leaves it at ZeRO-2."""
    (folder / "learner").mkdir()
    (folder / "learner" / "mp_rank_00_model_states.pt").write_bytes(b"weights of all")
    (folder / "learner" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(bytes(range(256)) * 40)
    (folder / "latest").touch()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_snapshot_is_what_was_saved_split_by_who_needs_it_and_leaves_no_folder(
    scratch_root: Path, tmp_path: Path
) -> None:
    facts, shared, own = snapshot(7, save_state, ROOM)
    assert list(scratch_root.iterdir()) == []
    assert list(shared) == ["learner/mp_rank_00_model_states.pt"]
    assert sorted(own) == ["latest", "learner/zero_pp_rank_0_mp_rank_00_optim_states.pt"]
    assert (facts.step, facts.num_bytes) == (7, 14 + 256 * 40)
    (tmp_path / "saved").mkdir()
    save_state(tmp_path / "saved")
    with laid_out(shared, own) as folder:
        assert contents(folder) == contents(tmp_path / "saved")
    assert list(scratch_root.iterdir()) == []


def test_a_failure_leaves_no_folder_either(scratch_root: Path) -> None:
    def fail(folder: Path) -> None:
        save_state(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        snapshot(1, fail, ROOM)
    with pytest.raises(ValueError, match="no"), laid_out({"a": np.zeros(3, dtype=np.uint8)}):
        raise ValueError("no")
    assert list(scratch_root.iterdir()) == []


def test_what_a_killed_rank_left_is_swept_and_what_a_living_one_uses_is_not(scratch_root: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, used = (scratch_root / f"museg-learner-{pid}-xyz" for pid in (dead.pid, os.getppid()))
    for folder in (left, used):
        write_files({"learner/weights.pt": np.arange(9, dtype=np.uint8)}, folder)
    snapshot(1, save_state, ROOM)
    assert list(scratch_root.iterdir()) == [used]


def test_where_memory_has_no_room_the_disk_is_used_and_a_full_one_is_named(
    scratch_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def fill(folder: Path) -> None:
        seen.append(folder)
        with open("/dev/full", "wb") as full:
            full.write(bytes(10))

    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"up to 1000000000\.0 GB, has no room in .*: make room there"):
        snapshot(1, fill, 10**18)
    assert seen[0].parent == tmp_path
    assert not seen[0].exists()
