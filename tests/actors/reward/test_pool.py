"""Reward workers of a real Ray that are killed and stopped in the midst of their work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from ray.actor import ActorHandle

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, RewardWorker
from actors.waiting import DeadlineError
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import FaultError
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget
from tests.actors.material import run_config
from tests.museg.video.footage import write_video

pytestmark = pytest.mark.slow

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4", num_frames=150, fps=Fraction(25), height=96, width=128)
    config = run_config(folder)
    config.data.video_root = str(folder)
    config.reward.functions = ["tests.actors.reward.patient_reward:patient"]
    return config


@pytest.fixture(scope="module")
def budget() -> RestartBudget:
    return RestartBudget()


@pytest.fixture(scope="module")
def seats(local_ray: None, config: Config, budget: RestartBudget) -> list[Seat]:
    """Two workers, whoever they are at present."""
    worker = as_actor(RewardWorker, SCORING)

    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    def start(rank: int) -> Seat:
        return Seat(f"reward-{rank}", lambda: worker.remote(config, rank), ready, budget)

    return [start(rank) for rank in range(2)]


async def pool_of(seats: Sequence[Seat], *, timeout_s: float = 60) -> RewardPool:
    """Workers that are ready; every decoding process has been started by a first video."""
    await asyncio.gather(*(seat.filled() for seat in seats))
    await asyncio.gather(*(seat.actor.decode.remote("a.mp4", BUDGET) for seat in seats))
    return RewardPool(seats, timeout_s)


def pid_of(seat: Seat) -> int:
    assert seat.where is not None
    return seat.where.pid


def decoder_of(pid: int) -> int:
    """The decoding process of a reward worker."""
    for entry in Path("/proc").iterdir():
        command = read(entry / "cmdline").split("\0") if entry.name.isdigit() else []
        if "museg.video.child" in command and command[-3] == str(pid):
            return int(entry.name)
    raise AssertionError(f"process {pid} has no decoding process")


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    return read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] in ([], ["Z"])


def undisturbed(config: Config) -> np.ndarray:
    return decode_clip(Path(config.data.video_root) / "a.mp4", video="a.mp4", budget=BUDGET).frames


async def decoded(pool: RewardPool) -> np.ndarray:
    outcome, clip = await pool.decode("a.mp4", BUDGET)
    assert outcome.error is None
    return (await clip).frames


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_in_mid_decode_is_replaced_and_the_clip_comes_from_another(
    blow: signal.Signals, seats: list[Seat], config: Config, budget: RestartBudget
) -> None:
    async def disturb() -> np.ndarray:
        pool = await pool_of(seats, timeout_s=60 if blow is signal.SIGKILL else 3)
        seat, other, life, count = *seats, seats[0].life, budget.count
        worker, decoder = pid_of(seat), decoder_of(pid_of(seat))
        os.kill(decoder, signal.SIGSTOP)  # so that the worker is in the midst of it
        decoding = asyncio.create_task(decoded(pool))
        await asyncio.sleep(0.3)
        assert pool.occupation.outstanding("reward-0") == 1
        os.kill(worker, blow)
        frames = await decoding
        await until(lambda: seat.life == life + 1 and pool.attendance.settled)
        assert budget.count == count + 1
        assert (seat.life, other.life) == (life + 1, 0)
        await until(lambda: is_gone(worker) and is_gone(decoder))
        assert not is_gone(pid_of(seat))
        return frames

    np.testing.assert_array_equal(asyncio.run(disturb()), undisturbed(config))


def test_the_death_of_a_decoding_process_changes_nothing(
    seats: list[Seat], config: Config, budget: RestartBudget
) -> None:
    before = budget.count

    async def disturb() -> np.ndarray:
        pool = await pool_of(seats[:1])
        decoder = decoder_of(pid_of(seats[0]))
        os.kill(decoder, signal.SIGSTOP)
        decoding = asyncio.create_task(decoded(pool))
        await asyncio.sleep(0.3)
        os.kill(decoder, signal.SIGKILL)
        frames = await decoding
        assert decoder_of(pid_of(seats[0])) != decoder
        return frames

    np.testing.assert_array_equal(asyncio.run(disturb()), undisturbed(config))
    assert budget.count == before


def sample_about(folder: Path) -> Sample:
    """A sample whose reward waits for a file `go` in the folder."""
    return Sample(idx=7, problem="when?", solution=((1.0, 2.0), (3.0, 4.0)), video=str(folder), task="tal")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_in_mid_score_is_replaced_and_the_rewards_are_the_same(
    blow: signal.Signals, seats: list[Seat], budget: RestartBudget, tmp_path: Path
) -> None:
    """The only one there is: its calls wait for the one that comes."""
    before = budget.count

    async def disturb() -> list[float]:
        pool = await pool_of(seats[:1], timeout_s=60 if blow is signal.SIGKILL else 5)
        worker = pid_of(seats[0])
        scoring = asyncio.create_task(pool.score(sample_about(tmp_path), ["one", "two"], None, 0))
        await until(lambda: read(tmp_path / "begun") == str(worker))
        os.kill(worker, blow)
        (tmp_path / "go").touch()
        rewards = [reward.total for reward in await scoring]
        assert is_gone(worker)
        assert read(tmp_path / "begun") == str(pid_of(seats[0]))
        return rewards

    assert asyncio.run(disturb()) == [2.0, 2.0]
    assert budget.count == before + 1


def test_a_reward_that_never_comes_from_a_worker_that_lives_is_told(
    seats: list[Seat], budget: RestartBudget, tmp_path: Path
) -> None:
    before = budget.count

    async def ask() -> None:
        pool = await pool_of(seats[:1], timeout_s=2)
        try:
            await pool.score(sample_about(tmp_path), ["one"], None, 0)
        finally:
            (tmp_path / "go").touch()

    with pytest.raises(DeadlineError, match=r"scoring sample 7 \(reward\.timeout_s\) took longer than 2 s"):
        asyncio.run(ask())
    assert budget.count == before


def test_a_long_queue_at_a_worker_is_no_hang(seats: list[Seat], config: Config) -> None:
    """The deadline is that of one video, however many are asked for at once."""

    async def ask() -> list[np.ndarray]:
        pool = await pool_of(seats[:1])
        began = time.monotonic()
        await decoded(pool)
        pool.timeout_s = 8 * (time.monotonic() - began)
        return list(await asyncio.gather(*(decoded(pool) for _ in range(40))))

    for frames in asyncio.run(ask()):
        np.testing.assert_array_equal(frames, undisturbed(config))


def test_a_run_that_may_replace_nobody_ends_with_the_first_death(seats: list[Seat]) -> None:
    async def disturb() -> None:
        await pool_of(seats)
        pool = RewardPool([Seat.of(seat.actor, f"reward-{rank}") for rank, seat in enumerate(seats)], timeout_s=60)
        for seat in seats:
            os.kill(pid_of(seat), signal.SIGKILL)
        await pool.decode("a.mp4", BUDGET)

    with pytest.raises(FaultError, match=r"recovery\.max_restarts.*=.*first reward-\d: "):
        asyncio.run(disturb())
