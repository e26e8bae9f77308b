"""The benchmarks that `museg eval` knows: how each is scored, and the authors' settings for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from museg.data.samples import read_samples
from museg.evaluation.exams import EtBenchExam, EtBenchOptions, Exam, GroundingExam
from museg.evaluation.grounding import THRESHOLDS


class Benchmark(StrEnum):
    charades_sta = "charades_sta"
    thumos14 = "thumos14"
    thumos15 = "thumos15"
    perception_test = "perception_test"
    et_bench = "et_bench"
    samples = "samples"
    """Any sample file, such as a run's held-out one."""


SINGLE_SEGMENT_METRICS = ("miou", *(f"recall@{threshold}" for threshold in THRESHOLDS), "recall")
"""The authors' method `tvg`: the first segments."""
ALL_SEGMENTS_METRICS = (*(f"f1@{threshold}" for threshold in THRESHOLDS), "f1")
"""The authors' method `tal`."""
ET_BENCH_METRICS = ("REF", "GND", "CAP", "CAP F1", "CAP Sim", "COM", "AVG", "AVG F1", "AVG Sim")
"""Published rows have `CAP` and `AVG`, and don't say whether captioning's F1 or similarity is in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkFacts:
    """How a benchmark is called and scored."""

    title: str
    metrics: tuple[str, ...] | None
    """Metrics that its scores consist of; None: all that there are."""
    headline: tuple[str, ...]
    """Those that stand in comparisons."""
    published: bool = True
    """Whether the authors publish scores of it, which ours are to be compared with under their settings."""


FACTS: Mapping[Benchmark, BenchmarkFacts] = {
    Benchmark.charades_sta: BenchmarkFacts(title="Charades-STA", metrics=SINGLE_SEGMENT_METRICS, headline=("miou",)),
    Benchmark.thumos14: BenchmarkFacts(title="THUMOS14", metrics=ALL_SEGMENTS_METRICS, headline=("f1",)),
    Benchmark.thumos15: BenchmarkFacts(title="THUMOS15", metrics=ALL_SEGMENTS_METRICS, headline=("f1",)),
    Benchmark.perception_test: BenchmarkFacts(title="Perception Test", metrics=ALL_SEGMENTS_METRICS, headline=("f1",)),
    Benchmark.et_bench: BenchmarkFacts(title="E.T. Bench", metrics=None, headline=ET_BENCH_METRICS),
    Benchmark.samples: BenchmarkFacts(
        title="samples",
        metrics=None,
        headline=("miou", "recall@0.5", "f1"),
        published=False,
    ),
}

AUTHORS_SETTINGS = (
    "data.eval_template=timestamps",
    "video.fps=2.0",
    "video.min_frames=4",
    "video.eval_max_frames=768",
    f"video.min_pixels={16 * 28 * 28}",
    f"video.max_pixels={768 * 28 * 28}",
    f"video.total_pixels={3584 * 28 * 28}",
    "eval.max_tokens=512",
    # 384 pairs of frames × 16 tokens of the smallest frame, the question and the answer.
    "generation.max_model_len=8192",
)
"""Overrides with which the authors evaluate on the published benchmarks (src/eval_grounding.py)."""


def read_exam(benchmark: Benchmark, path: Path, et_bench: EtBenchOptions) -> Exam:
    """The benchmark's questions from its file, as the authors publish it.

    Raises:
        DataError: the file is missing or malformed.
        UserError: its answers couldn't be scored here (`EtBenchExam.from_file`).
    """
    if benchmark is Benchmark.et_bench:
        return EtBenchExam.from_file(path, et_bench)
    return GroundingExam(samples=read_samples(path), metrics=FACTS[benchmark].metrics)
