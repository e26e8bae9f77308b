from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report import write_report
from tests.museg.runs.report.conftest import MakeRow
from tests.museg.runs.report.reading import Page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" & 'so'"


def report_of(run: RunDirectory) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_page_is_written_whole_and_leaves_nothing_beside_it(finished_run: RunDirectory) -> None:
    before = set(finished_run.path.iterdir())
    assert write_report(finished_run) == finished_run.report_file
    assert set(finished_run.path.iterdir()) - before == {finished_run.report_file}


def test_the_page_holds_scores_configuration_and_every_step(finished_run: RunDirectory) -> None:
    page = report_of(finished_run)
    assert re.search(r"miou\s*0.420\s*0.770\s*\+0.350\s*0.300\s*\+0.470", page.text)
    assert "gone.mp4: no such file" in page.text
    assert "run:\n  name: tiny" in page.text
    index = page.index()
    assert [step["step"] for step in index["steps"]] == [1, 2, 3]
    assert index["samples"]["problem"] == ["When does the cyclist pass?"]
    assert page.unpacked("step-2")["groups"][0]["y"] == [[5.0, 10.0], [5.0, 10.0]]


def test_a_report_in_haste_reads_no_video(finished_run: RunDirectory, real_clip_paths: dict[str, Path]) -> None:
    shutil.copy(real_clip_paths["bikes"], finished_run.path / "street.mp4")
    finished_run.create(f"data: {{video_root: {finished_run.path}}}\n")
    assert "video-0" in report_of(finished_run).blocks
    hasty = Page(write_report(finished_run, in_haste=True).read_text(encoding="utf-8"))
    assert [name for name in hasty.blocks if name.startswith(("step-", "video-"))] == ["step-1", "step-2", "step-3"]


def test_phases_are_told_with_their_steps(finished_run: RunDirectory) -> None:
    phases = "phases:\n- {name: stage_1, steps: 1}\n- {name: a < b, steps: 2}\n"
    finished_run.config_file.write_text(finished_run.config_file.read_text() + phases)
    assert report_of(finished_run).index()["phases"] == [
        {"name": "stage_1", "first_step": 1, "last_step": 1},
        {"name": "a < b", "first_step": 2, "last_step": 3},
    ]


def test_text_from_data_and_model_stays_text(new_run: RunDirectory, make_row: MakeRow) -> None:
    row = make_row(problem=HOSTILE, completion=HOSTILE, video=HOSTILE, finish_reason=HOSTILE, rewards={HOSTILE: 1.0})
    new_run.append_metrics({"step": 1, f"reward/{HOSTILE}": 1.0, "reward/mean": 1.0})
    new_run.write_rollouts(1, [row])
    new_run.create(f"run:\n  name: {json.dumps(HOSTILE)}\n")
    new_run.write_summary(
        {
            "status": "failed",
            "steps": 1,
            "error": HOSTILE,
            "videos_skipped": {HOSTILE: "why"},
            "eval_after": {HOSTILE: 1},
        }
    )
    plain, page = report_of_nothing(new_run), report_of(new_run)
    assert page.text.count(HOSTILE) == 3
    assert page.tags.count("script") == plain.tags.count("script") + 1  # the step's data
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.unpacked("step-1")["groups"][0]["t"] == [HOSTILE]


def report_of_nothing(run: RunDirectory) -> Page:
    other = RunDirectory(run.path.with_name("nothing"))
    other.create("run:\n  name: nothing\n")
    return report_of(other)


def test_nothing_is_loaded_from_outside_and_no_other_script_may_run(finished_run: RunDirectory) -> None:
    html = write_report(finished_run).read_text(encoding="utf-8")
    page = Page(html)
    references = [value or "" for name, value in page.attributes if name in {"src", "href", "xlink:href", "srcset"}]
    assert all(reference.startswith(("#", "data:,")) for reference in references)
    assert not {"iframe", "object", "img", "form"} & set(page.tags)
    (policy,) = [value for _, value in page.attributes if value and value.startswith("default-src")]
    assert "connect-src" not in policy
    assert "default-src 'none'" in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts]
    assert policy.partition("script-src ")[2].split() == hashes


def test_a_run_that_has_only_begun_is_reported(new_run: RunDirectory) -> None:
    page = report_of(new_run)
    assert "running" in page.text
    assert "No completions on record yet." in page.text
    assert "Held-out scores" not in page.text
    assert page.index()["steps"] == []


def test_a_supervised_run_says_why_it_has_no_timelines(new_run: RunDirectory) -> None:
    new_run.append_metrics({"step": 1, "sft/loss": 1.0})
    assert "A supervised run learns from demonstrations" in report_of(new_run).text


@pytest.mark.parametrize("completion", ["", "<answer>", "\x00\u202e", "<answer>0-1</answer>" * 2, "é🙂" * 5000])
def test_any_completion_can_be_kept(new_run: RunDirectory, make_row: MakeRow, completion: str) -> None:
    new_run.write_rollouts(1, [make_row(completion=completion)])
    assert report_of(new_run).unpacked("step-1")["groups"][0]["t"] == [completion]
