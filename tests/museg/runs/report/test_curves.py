from __future__ import annotations

import re

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report.curves import Chart, draw_charts
from museg.runs.report.record import read_record


def charts_of(run: RunDirectory) -> dict[str, Chart]:
    return {chart.title: chart for chart in draw_charts(read_record(run))}


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Vertices of the drawn lines, in order, leaving out axes, ticks and grid."""
    lines = re.findall(r'<path d="([^"]*)" clip-path[^>]*stroke: var\(--series', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", line)] for line in lines]


def test_only_what_was_measured_is_drawn(finished_run: RunDirectory) -> None:
    charts = charts_of(finished_run)
    assert list(charts) == ["Reward", "Held-out mIoU", "Parity gap", "Time of a step"]
    assert charts["Reward"].legend == ("mean", "format")
    assert charts["Time of a step"].legend == ("generate", "learn")


def test_the_evaluation_runs_from_before_the_first_step_to_after_the_last(finished_run: RunDirectory) -> None:
    blind, miou = points(charts_of(finished_run)["Held-out mIoU"].svg)
    (x0, y0), (x2, y2), (x3, y3) = miou
    assert (x2 - x0) / (x3 - x0) == pytest.approx(2 / 3, abs=1e-4)
    # SVG's y grows downwards.
    assert (y0 - y2) / (y0 - y3) == pytest.approx((0.5 - 0.42) / (0.77 - 0.42), abs=1e-4)
    assert (blind[0][1] - y0) / (y0 - y3) == pytest.approx((0.42 - 0.2) / (0.77 - 0.42), abs=1e-4)


def test_the_parity_gap_is_drawn_by_decades_and_leaves_zeros_out(finished_run: RunDirectory) -> None:
    svg = charts_of(finished_run)["Parity gap"].svg
    assert re.findall(r">(\d+e.\d+)</text>", svg) == ["1e−06", "1e−05"]
    assert [len(line) for line in points(svg)] == [3]


def test_a_parity_gap_of_nothing_but_zeros_is_drawn(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "parity/logprob_gap_mean": 0.0})
    assert list(charts_of(new_run)) == ["Parity gap"]


def test_charts_take_the_page_s_colours_and_share_no_ids(finished_run: RunDirectory) -> None:
    svgs = [chart.svg for chart in charts_of(finished_run).values()]
    ids = [name for svg in svgs for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        assert "http" not in svg
        assert set(re.findall(r"#fe\w{4}", svg)) == set()
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= set(ids)


def test_a_long_run_is_smoothed_around_its_raw_values(new_run: RunDirectory) -> None:
    for step in range(1, 101):
        new_run.append_metrics({"step": step, "policy/entropy": float(step % 2)})
    raw, smooth = points(charts_of(new_run)["Entropy"].svg)

    def spread(line: list[tuple[float, float]]) -> float:
        return max(y for _, y in line) - min(y for _, y in line)

    assert spread(smooth) < spread(raw) / 2


def test_a_run_without_steps_has_no_charts(new_run: RunDirectory) -> None:
    assert charts_of(new_run) == {}


def test_each_phase_that_has_begun_is_marked_with_its_name(finished_run: RunDirectory) -> None:
    phases = "phases:\n- {name: stage_1, steps: 1}\n- {name: a < b, steps: 2}\n- {name: later, steps: 9}\n"
    finished_run.config_file.write_text(finished_run.config_file.read_text() + phases)
    svg = charts_of(finished_run)["Reward"].svg
    assert re.findall(r">(stage_1|a &lt; b|later)</text>", svg) == ["stage_1", "a &lt; b"]
    first, second = (float(x) for x in re.findall(r'<path d="M (\S+) \S+ \nL \1 \S+ \n" clip-path', svg))
    (_, (x1, _), (x2, _)), *_ = ([(0.0, 0.0), *line[:2]] for line in points(svg))
    assert (first - x1) / (x2 - x1) == pytest.approx(-0.5, abs=1e-3)
    assert (second - x1) / (x2 - x1) == pytest.approx(0.5, abs=1e-3)
