from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from museg.errors import DataError
from museg.evaluation.et_bench.samples import EtBenchSample
from museg.evaluation.et_bench.scoring import MERGED, EtBenchScores, merged_scores, score_et_bench
from museg.evaluation.et_bench.tables import et_bench_tables
from tests.museg.evaluation.et_bench.made import captioned, grounded, multiple_choice

PUBLISHED = {
    "MUSEG-7B": ((61.9, 37.5, 23.7, 24.0), 36.8),
    "MUSEG-3B": ((53.9, 30.0, 18.7, 8.8), 27.9),
    "Qwen2.5-VL-7B": ((53.1, 30.7, 16.2, 11.3), 27.8),
    "VideoChat-R1": ((55.8, 35.6, 22.1, 19.5), 33.3),
    "TimeZero": ((55.9, 35.8, 21.4, 17.1), 32.6),
    "Qwen2.5-VL-3B": ((51.7, 20.4, 13.6, 8.0), 23.4),
}
"""REF, GND, CAP, COM, and AVG (arXiv 2505.20715)."""


def none_alike(pairs: Sequence[tuple[str, str]]) -> list[float]:
    return [0.0] * len(pairs)


def every_task() -> tuple[list[EtBenchSample], list[str]]:
    """One sample a task, two of `tvg` from two sources; with what each scores."""
    choice = [multiple_choice(task, "a", "b", "c", "d", correct=1) for task in ("rar", "eca", "rvq", "gvq")]
    spans = [grounded(task, (0, 10)) for task in ("tvg", "epm", "tal", "evs", "vhd", "tem")]
    captions = [captioned((0, 10, "it opens")), replace(captioned((0, 10, "it opens")), task="slc")]
    other_source = replace(spans[0], source="other")
    answers = ["B", "B", "D", "B 0-10", "0-10", "0-10", "0-6", "0-10", "4", "90-95", "0-10, it opens", "none", "none"]
    return [*choice, *spans, *captions, other_source], answers


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_published_average_is_the_plain_mean_of_the_abilities(model: str) -> None:
    abilities, average = PUBLISHED[model]
    published = dict(zip(MERGED["AVG F1"], abilities, strict=True))
    merged = merged_scores({task: published[ability] for ability in published for task in MERGED[ability]})
    assert merged["AVG F1"] == pytest.approx(average, abs=0.0501)


def test_scores_merge_by_task_and_ability() -> None:
    samples, answers = every_task()
    scores = score_et_bench(samples, answers, none_alike, captions=False)
    assert [source.task for source in scores.sources[:6]] == ["rar", "eca", "rvq", "tvg", "tvg", "epm"]
    assert scores.overall["RAR Acc"] == 1
    assert scores.overall["TVG F1"] == 0.5
    assert scores.overall["TAL F1"] == 0.75
    assert scores.absent == ()
    assert scores.merged == {
        "REF": 0.66667,
        "GND": pytest.approx((0.5 + 1 + 0.75 + 1 + 1) / 5),
        "CAP F1": 0.5,
        "COM": 0.5,
        "AVG F1": pytest.approx((0.66667 + 0.85 + 0.5 + 0.5) / 4, abs=1e-5),
    }


def test_scores_in_one_mapping_are_read_back_as_they_were() -> None:
    samples, answers = every_task()
    samples[-1] = replace(samples[-1], source="a/b")
    scores = score_et_bench(samples, answers, none_alike, captions=False)
    flat = scores.flat()
    assert flat["tvg/a/b/F1@0.1"] == 0
    assert EtBenchScores.from_flat(flat) == scores
    assert scores.captions_left_out


def test_what_lacks_a_task_is_left_out() -> None:
    scores = score_et_bench([grounded("tvg", (0, 10))], ["0-10"], none_alike)
    assert scores.overall == {"TVG F1": 1}
    assert scores.merged == {}
    assert len(scores.absent) == 11


def test_tables_show_percent_and_dashes_for_what_is_absent() -> None:
    samples, answers = every_task()
    text = StringIO()
    scores = score_et_bench(samples, answers, none_alike, captions=False)
    Console(file=text, width=100).print(*et_bench_tables(scores))
    lines = [" ".join(line.replace("│", " ").split()) for line in text.getvalue().splitlines()]
    assert "TVG other 1 1 0.0 0.0 0.0 0.0 0.0" in lines
    assert "REF 66.7 RAR Acc 100.0, ECA Acc 100.0, RVQ Acc 0.0" in lines
    assert "CAP Sim – DVC Sim –, SLC Sim –" in lines


def test_each_sample_needs_an_answer() -> None:
    for samples, answers in (([], []), ([grounded("tvg", (0, 10))], [])):
        with pytest.raises(DataError, match="needs one answer for each sample"):
            score_et_bench(samples, answers, none_alike)
