from __future__ import annotations

import pytest

from museg.data.samples import Segment
from museg.evaluation.et_bench.complex import score_matches
from museg.evaluation.et_bench.grounding import score_all, score_moments, score_single, score_summaries
from tests.museg.evaluation.et_bench.made import grounded


def test_an_overlap_of_seven_tenths_in_single_precision_misses_the_threshold() -> None:
    scores = score_single([grounded("tvg", (0, 10))], ["0-7 and 0-10"])
    assert scores == {
        "Total": 1,
        "Failed": 0,
        "mIoU": 0.7,
        "F1@0.1": 1,
        "F1@0.3": 1,
        "F1@0.5": 1,
        "F1@0.7": 0,
        "F1": 0.75,
    }


@pytest.mark.parametrize("target", [(5, 5), (4, 6)])
def test_an_empty_segment_overlaps_nothing(target: Segment) -> None:
    assert score_single([grounded("tvg", target)], ["5-5"])["mIoU"] == 0


def test_every_sample_counts_in_the_mean_of_single_segments() -> None:
    samples = [grounded("epm", (0, 10)), grounded("epm", (0, 10))]
    scores = score_single(samples, ["0-10", "no idea"])
    assert (scores["Failed"], scores["mIoU"], scores["F1"]) == (1, 0.5, 0.5)


def test_all_segments_are_found_by_best_overlap() -> None:
    scores = score_all([grounded("tal", (0, 10), (20, 30)), grounded("tal", (0, 1))], ["0-10 0-9 40-50", "none"])
    f1 = 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)
    assert (scores["Failed"], scores["F1@0.7"], scores["F1"]) == (1, round(f1 / 2, 5), round(f1 / 2, 5))


def test_a_summary_is_compared_by_whole_seconds_and_failed_ones_are_left_out() -> None:
    samples = [grounded("evs", (0, 4), (10, 14)), grounded("evs", (0, 1))]
    assert score_summaries(samples, ["2.4-12", "none"]) == {"Total": 2, "Failed": 1, "F1": round(8 / 18, 5)}
    assert score_summaries(samples, ["none", "none"])["F1"] == 0


def test_a_highlight_of_any_annotator_counts_with_its_ends() -> None:
    sample = grounded("vhd", (1, 2), (5, 6))
    assert score_moments([sample] * 4, ["6", "at 1.5 s", "3", "never"]) == {"Total": 4, "Failed": 1, "F1": 0.5}


def test_a_match_may_be_any_of_the_right_segments() -> None:
    scores = score_matches([grounded("tem", (0, 10), (20, 30))], ["20-26, 0-10"])
    assert (scores["mIoU"], scores["R@0.5"], scores["R@0.7"], scores["mRec"]) == (0.6, 1, 0, 0.75)
