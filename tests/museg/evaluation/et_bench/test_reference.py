"""Figures that the benchmark's own functions gave (tests/fixtures/reference_et_bench.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from museg.evaluation.et_bench.samples import read_et_bench
from museg.evaluation.et_bench.scoring import score_et_bench
from museg.evaluation.et_bench.timed_captions import timed_captions

REFERENCE = json.loads((Path(__file__).parents[3] / "fixtures" / "reference_et_bench.json").read_text())
TASKS = sorted(set(REFERENCE) - {"caption_parsing"})


def letter_matching(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The similarity that the fixture was made with."""
    return [SequenceMatcher(None, first, second).ratio() for first, second in pairs]


@pytest.mark.parametrize("task", TASKS)
def test_the_benchmarks_figures_are_matched(task: str, tmp_path: Path) -> None:
    rows = [
        {"version": 1.0, "task": task, "source": "made", "idx": idx, "video": f"{idx}.mp4", "q": "which?", **row}
        for idx, row in enumerate(REFERENCE[task]["samples"])
    ]
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(rows))
    samples = read_et_bench(file)
    scores = score_et_bench(samples, [sample.answer or "" for sample in samples], letter_matching)
    (source,) = scores.sources
    assert (source.task, source.source) == (task, "made")
    assert source.metrics == pytest.approx(REFERENCE[task]["expected"], abs=1e-6)


def test_the_fixture_covers_all_tasks_but_captioning() -> None:
    assert len(TASKS) == 10


@pytest.mark.parametrize("case", REFERENCE["caption_parsing"], ids=lambda case: case["answer"][:20])
def test_timed_captions_are_parsed_as_the_benchmark_parses_them(case: dict[str, object]) -> None:
    captions = timed_captions(str(case["answer"]))
    assert [list(caption.segment) for caption in captions] == (case["timestamps"] or [])
    assert [caption.text for caption in captions] == (case["sentences"] or [])
