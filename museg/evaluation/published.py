"""What the authors publish: the main table of arXiv 2505.20715 (also images/performance.png of their repository).

In per cent. Which metrics stand in it isn't said there: Charades-STA's values fit the mean IoU that the listed models'
own papers report, and the others are taken to be the mean F1 of the authors' method `tal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from museg.evaluation.benchmarks import Benchmark

SOURCE = "arXiv 2505.20715"

UNKNOWN = (
    "versions of torch, vLLM and transformers; whether the models that the authors compare with were asked in the same "
    "way (taken to be so); which metrics the columns are (Charades-STA is taken to be mIoU, THUMOS and Perception Test "
    "mean F1)"
)
UNKNOWN_OF_ET_BENCH = (
    "whether CAP is captioning's F1 (CAP F1) or the similarity of captions (CAP Sim), and so which average AVG is; "
    "most likely Sim"
)
"""What isn't known of the published rows, in words.

Sim, because the authors cite E.T. Chat with a CAP of 16.7 (17.1 on the subset), and the benchmark's own leaderboard
(github.com/PolyU-ChenLab/ETBench, .github/leaderboard.jpg) has for it a mean Sim of 17.2 (17.2) and a mean F1 of 31.4
(31.8).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    model: str
    scores: Mapping[tuple[Benchmark, str], float]
    """(benchmark, metric) → share from 0 to 1."""


_COLUMNS = (
    (Benchmark.charades_sta, "miou"),
    (Benchmark.thumos14, "f1"),
    (Benchmark.thumos15, "f1"),
    (Benchmark.perception_test, "f1"),
    *((Benchmark.et_bench, metric) for metric in ("REF", "GND", "CAP", "COM", "AVG")),
)


def _row(model: str, *per_cent: float | None) -> PublishedRow:
    values = zip(_COLUMNS, per_cent, strict=True)
    return PublishedRow(model=model, scores={column: value / 100 for column, value in values if value is not None})


PUBLISHED: tuple[PublishedRow, ...] = (
    _row("Qwen2.5-VL-7B", 50.2, 24.9, 23.4, 25.3, 53.1, 30.7, 16.2, 11.3, 27.8),
    _row("Qwen2.5-VL-7B+SFT", 28.1, 15.5, 15.6, 20.3, 24.3, 11.3, 15.3, 6.6, 14.4),
    _row("Video-R1", 11.3, 3.5, 3.4, 5.7, 50.3, 25.3, 15.6, 12.4, 25.9),
    _row("VideoChat-R1", 59.4, 14.3, 13.4, 27.1, 55.8, 35.6, 22.1, 19.5, 33.3),
    _row("TimeZero", 59.2, 14.4, 12.7, 26.8, 55.9, 35.8, 21.4, 17.1, 32.6),
    _row("MUSEG-7B", 59.7, 29.7, 29.3, 31.7, 61.9, 37.5, 23.7, 24.0, 36.8),
    _row("Qwen2.5-VL-3B", 41.4, 12.6, 12.8, 19.4, 51.7, 20.4, 13.6, 8.0, 23.4),
    _row("TEMPURA", 44.5, 8.7, 12.1, 20.7, 46.3, 26.1, 14.4, 10.2, 24.3),
    _row("MUSEG-3B", 53.7, 21.0, 20.3, 29.1, 53.9, 30.0, 18.7, 8.8, 27.9),
)
