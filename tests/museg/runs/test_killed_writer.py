"""A writer of checkpoints that is killed, or whose disk is full, at any point."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from museg.runs.checkpoints import Checkpoints
from tests.museg.runs.writing import FILES, content_of, write_and_die_at, write_checkpoint, write_until_killed

pytestmark = pytest.mark.slow
# Forked: a hundred writers start in a second, and touch nothing but files.
PROCESSES = multiprocessing.get_context("fork")


def assert_whole(checkpoints: Checkpoints, step: int) -> None:
    for name in FILES:
        assert (checkpoints.folder(step) / name).read_bytes() == content_of(name, step)
    assert (checkpoints.folder(step) / "trainer.json").is_file()


def assert_nothing_else(checkpoints: Checkpoints) -> None:
    checkpoints.sweep()
    assert {path.name for path in checkpoints.path.iterdir()} == {f"step-{step:06d}" for step in checkpoints.steps()}


def test_a_writer_killed_at_any_of_100_moments_leaves_its_newest_checkpoint_whole(tmp_path: Path) -> None:
    moments, checkpoints = random.Random(6), Checkpoints(tmp_path / "checkpoints")
    told = 0
    for _ in range(100):
        done, ours = PROCESSES.Pipe(duplex=False)
        writer = PROCESSES.Process(target=write_until_killed, args=(tmp_path, ours))
        writer.start()
        ours.close()
        told = done.recv()
        writer.join(timeout=moments.uniform(0, 0.03))
        assert writer.exitcode is None, "the writer ended by itself"
        writer.kill()
        writer.join()
        while done.poll():
            try:
                told = done.recv()
            except EOFError:
                break
        newest, complaints = checkpoints.newest_whole()
        assert complaints == []
        # The kill may have come between the last rename and the word of it.
        assert newest is not None
        assert newest in (told, told + 1)
        assert_whole(checkpoints, newest)
        assert_nothing_else(checkpoints)


@pytest.mark.parametrize("again", [False, True], ids=["a new step", "a step whose checkpoint is written over"])
def test_a_writer_killed_at_each_call_to_the_file_system_leaves_whole_checkpoints_alone(
    tmp_path: Path, again: bool
) -> None:
    # The two before it are old enough for one to be removed.
    for step in (1, 2, 3) if again else (1, 2):
        write_checkpoint(Checkpoints(tmp_path / "start" / "checkpoints"), step)
    killed = 0
    while True:
        folder = tmp_path / f"at-{killed + 1}"
        shutil.copytree(tmp_path / "start", folder)
        writer = PROCESSES.Process(target=write_and_die_at, args=(folder, killed + 1, 3))
        writer.start()
        writer.join(timeout=30)
        checkpoints = Checkpoints(folder / "checkpoints")
        checkpoints.sweep()
        newest, complaints = checkpoints.newest_whole()
        assert complaints == []
        assert newest in ((3,) if again else (2, 3))
        for step in checkpoints.steps():
            assert_whole(checkpoints, step)
        assert_nothing_else(checkpoints)
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
        killed += 1
    assert killed > 40, "too few calls were counted to show anything"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs of a given size can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_on_a_full_disk_the_last_checkpoint_stays_and_no_half_of_the_next(small_disk: Path) -> None:
    checkpoints = Checkpoints(small_disk)
    with checkpoints.new(1) as folder:
        (folder / "weights").write_bytes(bytes(100_000))

    def fill() -> None:
        with checkpoints.new(2) as folder:
            (folder / "weights").write_bytes(bytes(200_000))

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        fill()
    assert [path.name for path in small_disk.iterdir()] == ["step-000001"]
    assert checkpoints.newest_whole() == (1, [])
