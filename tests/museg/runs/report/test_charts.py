from __future__ import annotations

from museg.runs.directory import RunDirectory
from museg.runs.report.charts import Chart, Kind, Room, charts_of
from museg.runs.report.record import read_record


def charts(run: RunDirectory) -> dict[str, Chart]:
    return {chart.title: chart for chart in charts_of(read_record(run))}


def test_only_what_was_measured_has_a_chart(finished_run: RunDirectory) -> None:
    found = charts(finished_run)
    assert list(found) == ["Reward", "Reward by part", "Held-out mIoU", "Time of a step", "Parity gap"]
    assert [series.label for series in found["Time of a step"].series] == ["generate", "learn"]
    assert found["Time of a step"].kind is Kind.stack
    assert found["Parity gap"].room is Room.service


def test_the_reward_has_its_deviation(finished_run: RunDirectory) -> None:
    (reward,) = charts(finished_run)["Reward"].series
    assert (reward.values, reward.spread) == ((0.5, 1.0, 1.5), (0.25, 0.25, 0.25))


def test_the_evaluation_runs_from_before_the_first_step_to_after_the_last(finished_run: RunDirectory) -> None:
    chart = charts(finished_run)["Held-out mIoU"]
    assert chart.steps == (0, 2, 3)
    assert {series.label: series.values for series in chart.series} == {
        "mIoU": (0.42, 0.5, 0.77),
        "blind": (0.2, 0.25, 0.3),
    }


def test_a_step_without_a_value_has_none_of_it(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "reward/format": 1.0})
    new_run.append_metrics({"step": 2, "reward/own": 0.5})
    chart = charts(new_run)["Reward by part"]
    assert [series.values for series in chart.series] == [(1.0, None), (None, 0.5)]


def test_a_supervised_run_has_its_loss_and_throughput(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "sft/loss": 2.0, "throughput/tokens_per_s": 100.0})
    assert list(charts(new_run)) == ["Supervised loss", "Tokens a second"]


def test_each_worker_s_idle_share_is_a_line(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "idle/generation-0": 0.25, "idle/learner-0": 0.5})
    assert [series.label for series in charts(new_run)["Idle"].series] == ["generation-0", "learner-0"]


def test_restarts_are_drawn_of_the_roles_that_had_some(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "restarts/generation": 0, "restarts/learner": 0})
    assert charts(new_run) == {}
    new_run.append_metrics({"step": 2, "restarts/generation": 1, "restarts/learner": 0})
    (series,) = charts(new_run)["Restarts"].series
    assert (series.label, series.values) == ("generation", (0, 1))


def test_a_run_without_steps_has_no_charts(new_run: RunDirectory) -> None:
    assert charts(new_run) == {}
