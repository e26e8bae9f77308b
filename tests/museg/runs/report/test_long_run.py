"""What a long run's report takes: time to write, size, time to open."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report import write_report
from tests.chromium import chromium
from tests.museg.runs.report.long_run import write_long_run

MAX_WRITE_S = 20.0
MAX_BYTES = 25_000_000
MAX_OPEN_S = 3.0


def opens_within_s(file: Path, place: str) -> float:
    """Seconds until curves, list, group and history of a place are there, the browser running already."""
    with chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        started = time.perf_counter()
        page.goto(f"file://{file}{place}")
        page.locator("#history h3").wait_for()
        took_s = time.perf_counter() - started
        assert page.locator(".plot canvas").count() >= 10
        assert complaints == []
    return took_s


def written_within_s(run: RunDirectory) -> float:
    started = time.perf_counter()
    write_report(run)
    return time.perf_counter() - started


@pytest.mark.timeout(120)
def test_a_twentieth_of_a_long_run_takes_a_twentieth(tmp_path: Path) -> None:
    run = write_long_run(tmp_path / "long", steps=40, groups=50, size=8)
    write_s, opening_s = written_within_s(run), opens_within_s(run.report_file, "#step=20&of=run")
    num_bytes = run.report_file.stat().st_size
    print(
        f"40 steps × 50 groups × 8: written in {write_s:.1f} s, {num_bytes / 1e6:.2f} MB, opened in {opening_s:.2f} s"
    )
    assert write_s <= MAX_WRITE_S / 4
    # All texts of a run of this size are kept.
    assert num_bytes <= MAX_BYTES / 5
    assert opening_s <= MAX_OPEN_S


@pytest.mark.thorough
def test_a_long_run_is_written_and_opened_in_time_and_stays_small(tmp_path: Path) -> None:
    run = write_long_run(tmp_path / "long", steps=400, groups=100, size=8)
    write_s = written_within_s(run)
    opening_s = opens_within_s(run.report_file, "")
    whole_s = opens_within_s(run.report_file, "#step=200&of=run&order=disputed&q=door")
    num_bytes = run.report_file.stat().st_size
    print(
        f"400 steps × 100 groups × 8: written in {write_s:.1f} s, {num_bytes / 1e6:.1f} MB, "
        f"opened in {opening_s:.2f} s, with a search through all steps in {whole_s:.2f} s"
    )
    assert write_s <= MAX_WRITE_S
    assert num_bytes <= MAX_BYTES
    assert max(opening_s, whole_s) <= MAX_OPEN_S
