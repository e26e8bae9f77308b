"""What `museg eval` prints of one result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from museg.evaluation.benchmarks import FACTS, Benchmark
from museg.evaluation.comparison import Column
from museg.evaluation.et_bench.scoring import EtBenchScores
from museg.evaluation.et_bench.tables import et_bench_tables
from museg.evaluation.published import PUBLISHED, SOURCE, UNKNOWN_OF_ET_BENCH
from museg.evaluation.results import EvalResult


def result_tables(result: EvalResult) -> list[Table]:
    """All scores; those of E.T. Bench in its own tables, then beside the published ones."""
    if result.benchmark is not Benchmark.et_bench:
        return [_scores_table(result, tuple(result.scores))]
    own = et_bench_tables(EtBenchScores.from_flat(result.scores))
    headline = FACTS[Benchmark.et_bench].headline
    return [*own, _scores_table(result, headline)] if result.scores.keys() & set(headline) else own


def result_notes(result: EvalResult) -> Iterator[str]:
    """What the tables don't say."""
    if result.constant:
        yield f"constant: {result.constant.answer}, whatever is asked"
    if result.benchmark is Benchmark.et_bench:
        yield from _et_bench_notes(EtBenchScores.from_flat(result.scores))
    elif any((result.benchmark, name) in row.scores for row in PUBLISHED for name in result.scores):
        yield f"published: {SOURCE}"
    if result.skipped_videos:
        yield f"{len(result.skipped_videos)} videos can't be decoded, and their questions count as answered wrongly:"
        yield from (f"  {reason}" for reason in result.skipped_videos.values())


def metric_label(benchmark: Benchmark, metric: str) -> str:
    """A metric as a table for readers calls it."""
    if benchmark is Benchmark.et_bench:
        return f"{metric} (paper)" if metric in ("CAP", "AVG") else metric
    return {"miou": "mIoU", "f1": "mean F1"}.get(metric, metric)


def _scores_table(result: EvalResult, names: tuple[str, ...]) -> Table:
    """Metric by metric: the score, blind, of the best constant answer, and as published."""
    facts, in_per_cent = FACTS[result.benchmark], result.benchmark is Benchmark.et_bench
    columns = {"score": _of(result.benchmark, result.scores)}
    if result.blind:
        columns["blind"] = _of(result.benchmark, result.blind)
    if result.constant:
        columns["constant"] = _of(result.benchmark, result.constant.scores)
    for row in PUBLISHED:
        base_or_result = row.model.startswith(("Qwen2.5-VL", "MUSEG")) and "SFT" not in row.model
        if base_or_result and any((result.benchmark, name) in row.scores for name in names):
            columns["\n".join(row.model.rsplit("-", 1))] = row.scores
    title = f"{facts.title}, {result.num_samples:,} questions{', in per cent' if in_per_cent else ''}"
    table = Table("metric", title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right")
    for name in names:
        values = [scores.get((result.benchmark, name)) for scores in columns.values()]
        table.add_row(metric_label(result.benchmark, name), *(_figure(value, in_per_cent) for value in values))
    return table


def _of(benchmark: Benchmark, scores: Mapping[str, float]) -> Mapping[Column, float]:
    return {(benchmark, name): value for name, value in scores.items()}


def _et_bench_notes(scores: EtBenchScores) -> Iterator[str]:
    if scores.captions_left_out:
        yield (
            "captions weren't compared: BLEU, METEOR, ROUGE_L, CIDEr and SentSim of DVC and SLC are absent, and with "
            "them DVC Sim, SLC Sim, CAP Sim and AVG Sim"
        )
    if scores.absent:
        yield f"no questions of {', '.join(task.upper() for task in scores.absent)}: what needs them is absent"
    if scores.merged:
        yield f"published: {SOURCE}; it doesn't say {UNKNOWN_OF_ET_BENCH}"


def _figure(value: float | None, in_per_cent: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" if in_per_cent else f"{value:.3f}"
