from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.data.samples import Sample, Segment
from museg.errors import ConfigError
from museg.rewards.scoring import REWARD_NAMES, score_completion

FIXTURE = Path(__file__).parents[2] / "fixtures" / "reference_rewards.jsonl"
REFERENCE = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
WEIGHTS = {"format": 1.0, "segment_matching": 1.0}


def sample(*solution: Segment) -> Sample:
    return Sample(idx=0, problem="when?", solution=solution, video="a.mp4", task="tal")


def scores(answer: str, *solution: Segment, reasoning: str = "10.0 20.0") -> tuple[float, float, float]:
    text = f"<think>{reasoning}</think><answer>{answer}</answer>"
    values = score_completion(text, sample(*solution), WEIGHTS).values
    return values["format"], values["global_matching"], values["local_matching"]


def test_every_reward_of_the_authors_published_code_is_matched() -> None:
    assert len(REFERENCE) == 1194
    for row in REFERENCE:
        solution = tuple((start, end) for start, end in row["solution"])
        values = score_completion(row["completion"], sample(*solution), WEIGHTS).values
        # Where a segment has no partner, the authors' dummy is worth up to 1e-6 and ours 0.
        tolerances = dict.fromkeys(REWARD_NAMES, 1e-9) | {"local_matching": 1e-6, "segment_matching": 1e-6}
        for name, tolerance in tolerances.items():
            assert values[name] == pytest.approx(row[name], abs=tolerance, rel=0), (name, row)


@pytest.mark.parametrize(
    ("answer", "solution", "expected"),
    [
        ("", [(10, 20)], (1.0, 0, 0)),
        ("20-10", [(10, 20)], (1.0, 0, 0)),
        ("10-20-30", [(10, 20)], (1.0, 1, 1)),
        ("1_0-2_0", [(10, 20)], (1.0, 1, 1)),
        ("1e1-2e1", [(10, 20)], (1.0, 1, 1)),
        ("10-20\n10-20", [(10, 20)], (1.0, 1, 0.5)),
        ("10.00 - 20.00", [(10, 20)], (0.2, 0, 0)),
        ("10,20", [(10, 20)], (0.2, 0, 0)),
        ("10s-20s", [(10, 20)], (0.2, 0, 0)),
        ("10–20", [(10, 20)], (0.2, 0, 0)),
        ("10-20 10-20 10-20", [(10, 20)], (1.0, 1, 1 / 3)),
        ("10-15 12-20", [(10, 20)], (0.6, 1, 0.375)),
        ("21-31", [(10, 20)], (0.6, 0, 0.476)),
        ("100-110", [(10, 20)], (0.6, 0, 0.1)),
        ("20-30 10-20", [(10, 20), (20, 30)], (0.6, 1, 0.5)),
        ("0-inf", [(10, 20)], (0.6, 0, 0)),
    ],
)
def test_the_table_of_cases(answer: str, solution: list[Segment], expected: tuple[float, float, float]) -> None:
    assert scores(answer, *solution) == pytest.approx(expected, abs=1e-3)


def test_a_timestamp_mentioned_eleven_times_counts_as_padding() -> None:
    assert scores("10-20", (10, 20), reasoning="10.0 " * 11 + "20.0")[0] == 0.6


def test_nested_annotations_may_score_above_one() -> None:
    assert scores("0-10", (0, 10), (0, 10))[1] == pytest.approx(4 / 3, abs=1e-5)


def test_matching_is_paid_though_the_format_is_wrong() -> None:
    breakdown = score_completion("It is <answer>10-20</answer>.", sample((10, 20)), WEIGHTS)
    assert breakdown.values["format"] == 0
    assert breakdown.total == pytest.approx(2.0, abs=1e-5)


def test_the_total_is_weighted_and_all_rewards_are_reported() -> None:
    text = "<think>10.0 20.0</think><answer>10-20</answer>"
    breakdown = score_completion(text, sample((10, 20)), {"format": 0.5, "local_matching": 3.0})
    assert breakdown.total == pytest.approx(3.5)
    assert tuple(breakdown.values) == REWARD_NAMES


def test_an_unknown_reward_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'segment_maching'.*did you mean 'segment_matching'"):
        score_completion("", sample((10, 20)), {"segment_maching": 1.0})


ANSWERS = st.text(alphabet="0123456789.-_ e+naif\n<>/", max_size=40)


@given(
    st.one_of(
        st.text(),
        ANSWERS.map(lambda answer: f"<think>{answer}</think><answer>{answer}</answer>"),
        st.lists(st.tuples(st.floats(0), st.floats(0)), max_size=5).map(
            lambda pairs: "<answer>" + " ".join(f"{start}-{end}" for start, end in pairs) + "</answer>"
        ),
    ),
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(1e-2, 1e4)), min_size=1, max_size=5),
)
def test_any_text_scores_finitely_and_in_range(text: str, solution: list[tuple[float, float]]) -> None:
    annotated = tuple((start, start + length) for start, length in solution)
    breakdown = score_completion(text, sample(*annotated), WEIGHTS)
    assert math.isfinite(breakdown.total)
    assert breakdown.values["format"] in {0.0, 0.2, 0.6, 1.0}
    assert breakdown.values["format_n_timestamp"] in {0.0, 0.2, 1.0}
    assert 0 <= breakdown.values["local_matching"] <= 1
    assert 0 <= breakdown.values["global_matching"] <= 2  # F1 with a precision of at most the number of annotations


def test_four_thousand_completions_take_well_under_a_second() -> None:
    samples = [sample(*((start, end) for start, end in row["solution"])) for row in REFERENCE]
    started = time.process_time()
    for index in range(4096):
        row = index % len(REFERENCE)
        score_completion(REFERENCE[row]["completion"], samples[row], WEIGHTS)
    assert time.process_time() - started < 1.0
