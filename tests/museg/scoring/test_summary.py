from __future__ import annotations

import statistics

import pytest

from museg.config.choices import RewardPreset
from museg.config.schema import RewardConfig
from museg.data.samples import Sample
from museg.rewards.answers import parse_answer
from museg.rewards.scoring import Scorer
from museg.scoring.summary import EvenlySpaced, ScoreSummary, SummaryOfRows

THINK = "<think>10.0 20.0</think>"


def sample(task: str, *solution: tuple[float, float], idx: int = 0) -> Sample:
    return Sample(idx=idx, problem="", solution=solution, video="", task=task, duration_s=40.0)


def summary_of(rows: list[tuple[str, Sample]], preset: RewardPreset = RewardPreset.reference) -> ScoreSummary:
    scorer = Scorer.from_config(RewardConfig(preset=preset))
    summary = SummaryOfRows(scorer)
    for text, asked in rows:
        answer = parse_answer(text)
        summary.add(asked, answer, scorer.score_answer(answer, asked).values)
    return summary.finish()


ROWS = [
    (f"{THINK}<answer>10-20</answer>", sample("tvg", (10, 20))),
    (f"{THINK}<answer></answer>", sample("tvg", (10, 20))),
    (f"{THINK}<answer>soon</answer>", sample("tvg", (10, 20))),
    (f"{THINK}<answer>20-10</answer>", sample("tal", (10, 20))),
    ("nothing", sample("tal", (10, 20))),
]


def test_rewards_are_spread_and_answers_counted_by_task() -> None:
    summary = summary_of(ROWS)
    assert list(summary.tasks) == ["tal", "tvg"]
    tvg = summary.tasks["tvg"]
    assert (tvg.rows, tvg.right_format, tvg.empty_answers, tvg.unparsed_answers) == (3, 2 / 3, 1 / 3, 1 / 3)
    spread = tvg.rewards["format"]
    assert (spread.mean, spread.min, spread.max) == (pytest.approx(2.2 / 3), 0.2, 1.0)
    assert spread.std == pytest.approx(statistics.pstdev([1.0, 1.0, 0.2]))
    tal = summary.tasks["tal"]
    assert (tal.right_format, tal.empty_answers, tal.unparsed_answers) == (0.5, 0.0, 1.0)
    assert summary.overall.rows == 5
    assert summary.overall.rewards["local_matching"].mean == pytest.approx(1 / 5)


def test_the_best_constant_answer_is_scored_by_the_rules_at_work() -> None:
    rows = [("", sample("tal", (10, 20), (30, 40))) for _ in range(3)]
    reference = summary_of(rows).constant
    assert (reference.answer.segment, reference.answer.miou, reference.rows) == ((10, 20), 1.0, 3)
    assert reference.segment_matching == pytest.approx(2 / 3 + 0.5, abs=1e-5)
    robust = summary_of(rows, RewardPreset.robust).constant
    assert robust.segment_matching == pytest.approx((2 / 3 + 0.5) / 2, abs=1e-12)


def test_many_rows_leave_few_that_are_evenly_spaced() -> None:
    spaced = EvenlySpaced(100)
    for idx in range(1000):
        spaced.add(sample("tvg", (0, 1), idx=idx))
    assert [kept.idx for kept in spaced.samples] == list(range(0, 1000, 16))
