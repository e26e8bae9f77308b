"""Renders the videos of a data set on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from museg.errors import DataError
from museg.synthesis.footage import Footage, load_footage
from museg.synthesis.splicing import write_video
from museg.synthesis.timelines import Timeline

VIDEOS_A_TASK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """One video to render: everything that decides its frames."""

    path: Path
    timeline: Timeline
    held_out: bool
    seed: tuple[int, ...]


class _Worker:
    """What a worker process keeps between tasks: the footage, decoded once."""

    footage: dict[str, Footage]
    size: tuple[int, int]
    fps: int

    @classmethod
    def start(cls, size: tuple[int, int], fps: int) -> None:
        # An interrupt is the parent's to handle: it cancels what hasn't begun and removes what was written.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls.footage, cls.size, cls.fps = load_footage(*size), size, fps

    @classmethod
    def render(cls, plans: Sequence[VideoPlan]) -> int:
        for plan in plans:
            write_video(
                plan.path,
                plan.timeline,
                cls.footage,
                held_out=plan.held_out,
                size=cls.size,
                fps=cls.fps,
                rng=np.random.default_rng(plan.seed),
            )
        return len(plans)


def render_videos(plans: Sequence[VideoPlan], *, size: tuple[int, int], fps: int, workers: int | None) -> None:
    """Write every planned video of `size` (width, height), with a progress bar on stderr.

    The videos don't depend on the number of workers (None: one a core). Raises DataError if a worker dies.
    """
    num_workers = min(workers or os.cpu_count() or 1, -(-len(plans) // VIDEOS_A_TASK))
    executor = ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), initializer=_Worker.start, initargs=(size, fps)
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("videos", total=len(plans))
            chunks = [plans[start : start + VIDEOS_A_TASK] for start in range(0, len(plans), VIDEOS_A_TASK)]
            for done in as_completed([executor.submit(_Worker.render, chunk) for chunk in chunks]):
                progress.advance(bar, done.result())
    except BrokenProcessPool as error:
        raise DataError(
            f"data synth: one of {num_workers} workers died, perhaps for lack of memory: try --workers 1"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
