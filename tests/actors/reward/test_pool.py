"""Reward workers of a real Ray that are killed and stopped in the midst of their work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from ray.actor import ActorHandle

from actors.cluster import DeadlineError
from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, RewardWorker
from museg.config.schema import Config, RecoveryConfig
from museg.data.samples import Sample
from museg.errors import FaultError
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget
from tests.actors.material import run_config
from tests.museg.video.footage import write_video

pytestmark = pytest.mark.slow

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_video(tmp_path / "a.mp4", num_frames=150, fps=Fraction(25), height=96, width=128)
    config = run_config(tmp_path)
    config.data.video_root = str(tmp_path)
    config.reward.functions = ["tests.actors.reward.patient_reward:patient"]
    return config


async def pool_of(config: Config, count: int, budget: RestartBudget, *, timeout_s: float = 60) -> RewardPool:
    """Workers that are ready; every decoding process has been started by a first video."""
    worker = as_actor(RewardWorker, SCORING)

    def seat(rank: int) -> Seat:
        async def ready(actor: ActorHandle) -> None:
            await actor.whereabouts.remote()

        return Seat(f"reward-{rank}", lambda: worker.remote(config, rank), ready, budget)

    seats = [seat(rank) for rank in range(count)]
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
    blow: signal.Signals, local_ray: None, config: Config
) -> None:
    budget = RestartBudget()

    async def disturb() -> tuple[np.ndarray, float]:
        pool = await pool_of(config, 2, budget, timeout_s=60 if blow is signal.SIGKILL else 3)
        seat = pool.seats[0]
        worker, decoder = pid_of(seat), decoder_of(pid_of(seat))
        os.kill(decoder, signal.SIGSTOP)  # so that the worker is in the midst of it
        decoding = asyncio.create_task(decoded(pool))
        await asyncio.sleep(0.3)
        assert pool.occupation.outstanding("reward-0") == 1
        began = time.monotonic()
        os.kill(worker, blow)
        frames = await decoding
        took_s = time.monotonic() - began
        await until(lambda: seat.life == 1 and not pool._refills)
        assert is_gone(worker)
        assert is_gone(decoder)
        os.kill(pid_of(seat), 0)
        return frames, took_s

    frames, took_s = asyncio.run(disturb())
    np.testing.assert_array_equal(frames, undisturbed(config))
    assert took_s < 30
    assert budget.count == 1


def test_the_death_of_a_decoding_process_changes_nothing(local_ray: None, config: Config) -> None:
    budget = RestartBudget()

    async def disturb() -> np.ndarray:
        pool = await pool_of(config, 1, budget)
        decoder = decoder_of(pid_of(pool.seats[0]))
        os.kill(decoder, signal.SIGSTOP)
        decoding = asyncio.create_task(decoded(pool))
        await asyncio.sleep(0.3)
        os.kill(decoder, signal.SIGKILL)
        frames = await decoding
        assert decoder_of(pid_of(pool.seats[0])) != decoder
        return frames

    np.testing.assert_array_equal(asyncio.run(disturb()), undisturbed(config))
    assert budget.count == 0


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_in_mid_score_is_replaced_and_the_rewards_are_the_same(
    blow: signal.Signals, local_ray: None, config: Config, tmp_path: Path
) -> None:
    sample = Sample(idx=0, problem="when?", solution=((1.0, 2.0), (3.0, 4.0)), video=str(tmp_path), task="tal")
    budget = RestartBudget()

    async def disturb() -> list[float]:
        pool = await pool_of(config, 1, budget, timeout_s=60 if blow is signal.SIGKILL else 5)
        scoring = asyncio.create_task(pool.score(sample, ["one", "two"], None, 0))
        await until(lambda: read(tmp_path / "begun") == str(pid_of(pool.seats[0])))
        os.kill(pid_of(pool.seats[0]), blow)
        (tmp_path / "go").touch()
        rewards = [reward.total for reward in await scoring]
        assert is_gone(int(read(tmp_path / "begun"))) is False
        return rewards

    assert asyncio.run(disturb()) == [2.0, 2.0]
    assert budget.count == 1


def test_a_reward_that_never_comes_from_a_worker_that_lives_is_told(
    local_ray: None, config: Config, tmp_path: Path
) -> None:
    sample = Sample(idx=7, problem="when?", solution=((1.0, 2.0),), video=str(tmp_path), task="tvg")
    budget = RestartBudget()

    async def ask() -> None:
        pool = await pool_of(config, 1, budget, timeout_s=2)
        try:
            await pool.score(sample, ["one"], None, 0)
        finally:
            (tmp_path / "go").touch()

    with pytest.raises(DeadlineError, match=r"scoring sample 7 \(reward\.timeout_s\) took longer than 2 s"):
        asyncio.run(ask())
    assert budget.count == 0


def test_a_run_that_may_replace_nobody_ends_with_the_first_death(local_ray: None, config: Config) -> None:
    async def disturb() -> None:
        pool = await pool_of(config, 2, RestartBudget(RecoveryConfig(max_restarts=0)))
        for seat in pool.seats:
            os.kill(pid_of(seat), signal.SIGKILL)
        await pool.decode("a.mp4", BUDGET)

    with pytest.raises(FaultError, match=r"recovery\.max_restarts=0"):
        asyncio.run(disturb())


def test_a_long_queue_at_a_worker_is_no_hang(local_ray: None, config: Config) -> None:
    """The deadline is that of one video, however many are asked for at once."""

    async def ask() -> list[np.ndarray]:
        pool = await pool_of(config, 1, RestartBudget(), timeout_s=60)
        began = time.monotonic()
        await decoded(pool)
        pool.timeout_s = max(0.5, 4 * (time.monotonic() - began))
        count = 3 * round(pool.timeout_s / (time.monotonic() - began))
        return list(await asyncio.gather(*(decoded(pool) for _ in range(count))))

    for frames in asyncio.run(ask()):
        np.testing.assert_array_equal(frames, undisturbed(config))
