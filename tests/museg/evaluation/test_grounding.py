from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.data.samples import Sample, Segment
from museg.errors import DataError
from museg.evaluation.grounding import detection_scores, score_grounding, segments_in, temporal_iou

FIXTURE = Path(__file__).parents[2] / "fixtures" / "reference_grounding_eval.json"
REFERENCE = json.loads(FIXTURE.read_text())

OUR_NAMES = {
    "tvg": {"m_iou": "miou", "mean_f1_single": "recall"}
    | {f"f1_single_{t}": f"recall@{t}" for t in (0.1, 0.3, 0.5, 0.7)},
    "tal": {"mean_f1_multi": "f1"} | {f"f1_multi_{t}": f"f1@{t}" for t in (0.1, 0.3, 0.5, 0.7)},
}


def sample(*solution: Segment, task: str = "tvg") -> Sample:
    return Sample(idx=0, problem="when?", solution=solution, video="a.mp4", task=task)


@pytest.mark.parametrize("benchmark", REFERENCE)
def test_the_authors_scores_are_matched(benchmark: str) -> None:
    method, rows, expected = (REFERENCE[benchmark][key] for key in ("method", "rows", "expected"))
    samples = [sample(*((start, end) for start, end in solution), task=method) for solution, _ in rows]
    metrics = score_grounding(samples, [f"<think>.</think><answer>{content}</answer>" for _, content in rows])
    assert len(samples) == expected["tot"]
    for theirs, ours in OUR_NAMES[method].items():
        assert metrics[ours] == pytest.approx(expected[theirs], abs=1e-6), ours


@pytest.mark.parametrize(
    ("content", "segments"),
    [
        ("1.50-4", [(1.5, 4)]),
        ("10s to 20s, then 30 – 40", [(10, 20), (30, 40)]),
        ("1. 5", [(1, 5)]),
        ("-5-10", [(5, 10)]),
        ("1-2 3", []),
        ("1-2 9-8", []),
        ("4-4", []),
        ("1..5-7", []),
        ("none", []),
        ("", []),
    ],
)
def test_numbers_are_taken_in_pairs(content: str, segments: list[Segment]) -> None:
    assert segments_in(content) == segments


def test_two_answers_score_nothing() -> None:
    metrics = score_grounding([sample((1, 2))], ["<answer>1-2</answer><answer>1-2</answer>"])
    assert set(metrics.values()) == {0.0}


def test_miou_takes_the_first_segments_and_f1_all() -> None:
    metrics = score_grounding(
        [sample((0, 10), (20, 30), task="tal"), sample((0, 10))],
        ["<answer>20-30 0-5</answer>", "<answer>0-8</answer>"],
    )
    assert metrics["miou"] == pytest.approx((0.0 + 0.8) / 2)
    assert (metrics["recall@0.7"], metrics["recall@0.3"]) == (0.5, 0.5)
    assert metrics["f1@0.5"] == 1.0
    assert metrics["f1@0.7"] == pytest.approx((0.5 + 1.0) / 2)
    assert metrics["f1"] == pytest.approx((3 * 1.0 + 0.75) / 4)


def test_training_rewards_are_averaged_alongside() -> None:
    metrics = score_grounding(
        [sample((10, 20))] * 2, ["<think>10.0 20.0</think><answer>10-20</answer>", "<think></think>nothing"]
    )
    assert metrics["segment_matching"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["format"] == 0.5


def test_precision_recall_and_f1_may_use_a_segment_twice() -> None:
    ious = temporal_iou([(0, 10), (0, 9), (50, 60)], [(0, 10), (70, 80)])
    np.testing.assert_allclose(ious, [[1, 0], [0.9, 0], [0, 0]])
    assert detection_scores(ious, 0.5) == pytest.approx((2 / 3, 1 / 2, 4 / 7))


def test_there_must_be_samples() -> None:
    with pytest.raises(DataError, match="no samples to evaluate"):
        score_grounding([], [])


@given(st.text(alphabet="0123456789.- \nt", max_size=60))
def test_any_answer_scores_within_range(content: str) -> None:
    metrics = score_grounding([sample((1.0, 5.0), (7.5, 9.0))], [f"<answer>{content}</answer>"])
    assert all(0 <= value <= 1 for name, value in metrics.items() if name != "segment_matching")
