from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.telemetry.moment import CONCLUDE, Moment
from actors.telemetry.run_page import GAUGES, RunPage
from tests.actors.telemetry.rows import config, row

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page_of(rows: Sequence[dict[str, float]], moment: Moment | None = None, **more: object) -> RunPage:
    skipped = [{"cause": "video", "video": "a.mp4"}, {"cause": "storage", "video": "b.mp4"}, {"cause": "video"}]
    page = RunPage(config(), moment or Moment(started_unix_s=0.0), lambda: skipped)
    for one in rows:
        page.log(one)
    return page


def samples(page: RunPage) -> Samples:
    families = text_string_to_metric_families(generate_latest(page.registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(page: RunPage, name: str, **labels: str) -> float:
    return samples(page)[name, frozenset({"run": "first", **labels}.items())]


def test_gauges_have_the_values_of_the_last_row() -> None:
    last = row(2, **{"sft/loss": 0.5})
    page = page_of([row(1), last])
    for key, (name, _) in GAUGES.items():
        if key in last:
            assert value(page, name) == last[key], key
    assert value(page, "museg_reward_mean", reward="total") == 0.75
    assert value(page, "museg_reward_mean", reward="format") == 1.0
    assert value(page, "museg_idle_ratio", role="generation", worker="generation-0") == 0.25
    assert value(page, "museg_sync_bytes_per_second") == 5e8
    assert value(page, "museg_last_step_timestamp_seconds") == 4_000_000_002.0


def test_counters_are_sums_over_the_rows() -> None:
    page = page_of([row(1), row(2), row(3)])
    assert value(page, "museg_completions_total") == 3 * 64
    assert value(page, "museg_tokens_total", kind="completion") == 3 * 1280
    assert value(page, "museg_tokens_total", kind="learned") == 3 * 5000
    assert value(page, "museg_phase_seconds_total", phase="generate") == 3.0
    assert value(page, "museg_sync_bytes_total") == 12_000_000
    assert value(page, "museg_samples_total") == 3 * config().grpo.prompts_per_step
    assert value(page, "museg_samples_skipped_total", reason="video") == 2
    assert value(page, "museg_samples_skipped_total", reason="storage") == 1


def test_the_phases_of_a_step_are_not_the_step_nor_its_date() -> None:
    phases = {dict(labels)["phase"] for name, labels in samples(page_of([row(1)])) if name.startswith("museg_phase_s")}
    assert phases == {"wait_video", "generate", "reward", "learn", "sync"}


def test_scores_stay_from_one_evaluation_to_the_next_and_blind_ones_are_told_apart() -> None:
    page = page_of([row(1, **{"eval/miou": 0.5, "eval/blind/miou": 0.25, "eval/recall@0.5": 0.75}), row(2)])
    assert value(page, "museg_eval_score", metric="miou", blind="false") == 0.5
    assert value(page, "museg_eval_score", metric="miou", blind="true") == 0.25
    assert value(page, "museg_eval_score", metric="recall@0.5", blind="false") == 0.75


def test_a_run_that_has_no_step_yet_has_an_age_and_no_made_up_values() -> None:
    page = page_of([], Moment(started_unix_s=17.0))
    assert value(page, "museg_last_step_timestamp_seconds") == 17.0
    assert value(page, "museg_phase_now", phase="start") == 1.0
    names = {name for name, _ in samples(page)}
    assert not names & {"museg_step", "museg_reward_mean", "museg_kl"}


def test_the_phase_at_present_follows_the_laps_of_a_step() -> None:
    moment = Moment()
    page = page_of([], moment)
    moment.lap("wait_video")
    assert value(page, "museg_phase_now", phase="generate") == 1.0
    assert value(page, "museg_phase_now", phase="wait_video") == 0.0
    moment.lap("sync")
    assert value(page, "museg_phase_now", phase=CONCLUDE) == 1.0


def test_a_bound_of_the_parity_is_there_only_where_the_policies_should_be_equal() -> None:
    names = {name for name, _ in samples(page_of([]))}
    assert "museg_logprob_gap_bound" in names
    stale = RunPage(config("pipeline.staleness=1"), Moment(), list)
    assert "museg_logprob_gap_bound" not in {name for name, _ in samples(stale)}
