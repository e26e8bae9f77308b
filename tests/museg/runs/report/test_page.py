from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report import write_report
from tests.museg.runs.report.conftest import MakeRow

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" & 'so'"


class Page(HTMLParser):
    """Tags, attributes and text as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def report_of(run: RunDirectory) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_page_is_written_whole_and_leaves_nothing_beside_it(finished_run: RunDirectory) -> None:
    before = set(finished_run.path.iterdir())
    assert write_report(finished_run) == finished_run.report_file
    assert set(finished_run.path.iterdir()) - before == {finished_run.report_file}


def test_the_page_shows_scores_segments_and_configuration(finished_run: RunDirectory) -> None:
    html = write_report(finished_run).read_text(encoding="utf-8")
    assert '<th scope="row">miou</th><td>0.420</td><td>0.770</td><td>+0.350</td>' in html
    assert html.count('<i class="truth" style="left:25.0%;width:25.0%" title="5–10 s">') == 3
    text = Page(html).text
    assert "gone.mp4: no such file" in text
    assert "run:\n  name: tiny" in text
    assert "format 1.000 · segment_matching 2.000" in text


def test_text_from_data_and_model_stays_text(new_run: RunDirectory, make_row: MakeRow) -> None:
    rewards = {HOSTILE: 1.0}
    row = make_row(problem=HOSTILE, completion=HOSTILE, video=HOSTILE, finish_reason=HOSTILE, rewards=rewards)
    new_run.append_metrics({"step": 1, f"reward/{HOSTILE}": 1.0, "reward/mean": 1.0})
    new_run.write_rollouts(1, [row])
    new_run.create(f"run:\n  name: {json.dumps(HOSTILE)}\n")
    new_run.write_summary(
        {
            "status": "failed",
            "steps": 1,
            "error": HOSTILE,
            "videos_skipped": {HOSTILE: HOSTILE},
            "eval_after": {HOSTILE: 1},
        }
    )
    page = report_of(new_run)
    assert page.text.count(HOSTILE) >= 9
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_outside_the_file(finished_run: RunDirectory) -> None:
    page = report_of(finished_run)
    references = [value or "" for name, value in page.attributes if name in {"src", "href", "xlink:href", "srcset"}]
    assert all(reference.startswith("#") for reference in references)
    html = finished_run.report_file.read_text(encoding="utf-8")
    assert "://" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_a_run_that_has_only_begun_is_reported(new_run: RunDirectory) -> None:
    text = report_of(new_run).text
    assert "running" in text
    assert "No step has finished yet." in text
    assert "No completions on record yet." in text
    assert "Held-out scores" not in text


def test_a_running_run_without_evaluation_is_reported(finished_run: RunDirectory) -> None:
    finished_run.summary_file.unlink()
    finished_run.metrics_file.write_text('{"step": 1, "reward/mean": 0.5}\n', encoding="utf-8")
    text = report_of(finished_run).text
    assert "Held-out" not in text
    assert "Step 3" in text


@pytest.mark.parametrize("completion", ["", "<answer>", "\x00\u202e", "<answer>0-1</answer>" * 2, "é🙂" * 5000])
def test_any_completion_can_be_shown(new_run: RunDirectory, make_row: MakeRow, completion: str) -> None:
    new_run.write_rollouts(1, [make_row(completion=completion)])
    write_report(new_run)
    assert "Step 1" in new_run.report_file.read_text(encoding="utf-8")
