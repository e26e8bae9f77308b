"""Samples made for the tests of this folder."""

from __future__ import annotations

from museg.data.samples import Segment
from museg.evaluation.et_bench.samples import EtBenchSample


def grounded(task: str, *target: Segment, idx: int = 0) -> EtBenchSample:
    return EtBenchSample(task=task, source="made", idx=idx, video=f"{idx}.mp4", question="when?", target=target)


def multiple_choice(task: str, *options: str, correct: int) -> EtBenchSample:
    return EtBenchSample(
        task=task,
        source="made",
        idx=0,
        video="0.mp4",
        question="which?",
        options=options,
        correct=correct,
        target=((0.0, 10.0),),
    )


def captioned(*events: tuple[float, float, str], idx: int = 0, video: str | None = None) -> EtBenchSample:
    return EtBenchSample(
        task="dvc",
        source="made",
        idx=idx,
        video=video or f"{idx}.mp4",
        question="describe",
        target=tuple((start, end) for start, end, _ in events),
        captions=tuple(caption for *_, caption in events),
    )
