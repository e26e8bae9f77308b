from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from museg.cli.comparison_tables import comparison_json, comparison_markdown
from museg.config.choices import Template
from museg.data.prompts import ET_BENCH_TEMPLATE, QUESTION_TEMPLATES
from museg.errors import DataError
from museg.evaluation.benchmarks import Benchmark
from museg.evaluation.comparison import EVALUATIONS_FOLDER, compare
from museg.evaluation.published import PUBLISHED
from museg.evaluation.results import ConstantScore, EvalResult, read_result
from museg.evaluation.settings import ET_BENCH_PARSER, GROUNDING_PARSER, EvalSettings
from museg.runs.directory import RunDirectory

SETTINGS = EvalSettings(
    model="models/seven",
    model_sha256="00",
    data="charades_sta.json",
    data_sha256="00",
    prompt=QUESTION_TEMPLATES[Template.timestamps].format("when?"),
    fps=2.0,
    min_frames=4,
    max_frames=768,
    min_pixels=12_544,
    max_pixels=602_112,
    total_pixels=2_809_856,
    sampling="greedy",
    max_tokens=512,
    max_model_len=8192,
    parser=GROUNDING_PARSER,
    dtype="bfloat16",
    versions={"vllm": "0.32.0"},
)


def result(
    folder: Path, miou: float, *, benchmark: Benchmark = Benchmark.charades_sta, settings: EvalSettings = SETTINGS
) -> Path:
    folder.mkdir(parents=True)
    EvalResult(
        benchmark=benchmark,
        num_samples=3720,
        scores={"miou": miou, "recall": 0.7},
        blind={"miou": 0.25},
        constant=ConstantScore(answer="0.0 to 12.3 s", scores={"miou": 0.31}),
        skipped_videos={"a.mp4": "is empty"},
        settings=settings,
    ).write(folder)
    return folder


def finished_run(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create("run: {name: run}\nmodel: {path: m}\ndata: {train: t.jsonl, eval: e.jsonl}\n")
    run.write_summary(
        {
            "status": "completed",
            "steps": 3,
            "eval_before": {},
            "reward_first": 1.0,
            "reward_last": 2.0,
            "wall_s": 1.0,
            "restarts": 0,
            "videos_skipped": {},
            "eval_after": {"miou": 0.5, "blind/miou": 0.2},
        }
    )
    return run


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    back = read_result(result(tmp_path / "one", 0.6) / "results.json")
    assert (back.benchmark, back.settings) == (Benchmark.charades_sta, SETTINGS)
    assert (back.scores, back.blind) == ({"miou": 0.6, "recall": 0.7}, {"miou": 0.25})


def test_results_stand_beside_the_published_rows_and_the_best_is_bold(tmp_path: Path) -> None:
    comparison = compare([result(tmp_path / "one", 0.6123), result(tmp_path / "two", 0.55)])
    table = comparison_markdown(comparison)
    assert "| one | **61.2** |\n| one, blind | 25.0 |\n| one, best constant answer | 31.0 |\n| two | 55.0 |" in table
    assert "| MUSEG-7B | 59.7 |" in table
    assert "| Qwen2.5-VL-3B | 41.4 |" in table
    assert comparison.differences == {Benchmark.charades_sta: {}}


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    folders = [result(tmp_path / parent / "qwen", 0.6) for parent in ("one", "two")]
    other = result(tmp_path / "MUSEG-7B", 0.6)
    named = [row.name for row in compare([*folders, other]).rows if not row.published]
    assert named == [str(folder) for folder in (*folders, other)]


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    few = replace(
        SETTINGS, max_frames=64, prompt="When does it happen?", model_sha256="11" * 32, versions={"vllm": "0.33.0"}
    )
    comparison = compare([result(tmp_path / "one", 0.6), result(tmp_path / "few", 0.5, settings=few)])
    differences = comparison.differences[Benchmark.charades_sta]
    assert differences["frames"] == {
        "published": "4 to 768",
        "one": "4 to 768",
        "few": "4 to 64",
    }
    assert differences["prompt"]["few"] == "another template"
    assert differences["model"] == {"one": "models/seven (00)", "few": "models/seven (11111111)"}
    assert differences["vllm"] == {"one": "0.32.0", "few": "0.33.0"}
    assert differences.keys() == {"prompt", "frames", "model", "vllm"}
    notes = comparison_markdown(comparison)
    assert "- Settings differ, Charades-STA, vllm: one: 0.32.0; few: 0.33.0" in notes
    assert "- Published rows, Charades-STA, by the authors' scripts: prompt timestamps template; fps 2" in notes
    assert "Not known of them: versions of torch, vLLM" in notes
    assert r"parser numbers matching \\d+\\.\*\\d\* in the only" in notes


def test_both_averages_of_et_bench_stand_beside_the_papers(tmp_path: Path) -> None:
    asked = replace(SETTINGS, prompt=ET_BENCH_TEMPLATE.format("when?"), parser=ET_BENCH_PARSER)
    folder = result(tmp_path / "one", 0.6, benchmark=Benchmark.et_bench, settings=asked)
    scores = {"REF": 0.6, "GND": 0.4, "CAP F1": 0.3, "CAP Sim": 0.2, "COM": 0.1, "AVG F1": 0.35, "AVG Sim": 0.325}
    replace(read_result(folder / "results.json"), scores=scores, blind={}, constant=None).write(folder)
    comparison = compare([folder])
    table = comparison_markdown(comparison)
    columns = ("REF", "GND", "CAP (paper)", "CAP F1", "CAP Sim", "COM", "AVG (paper)", "AVG F1", "AVG Sim")
    assert f"| model or run | {' | '.join(f'E.T. Bench {name}' for name in columns)} |" in table
    assert "| MUSEG-7B | **61.9** | 37.5 | **23.7** |  |  | **24.0** | **36.8** |  |  |" in table
    assert "| one | 60.0 | **40.0** |  | 30.0 | 20.0 | 10.0 |  | 35.0 | 32.5 |" in table
    assert "- Not known of E.T. Bench's: whether CAP is captioning's F1 (CAP F1) or the similarity" in table
    assert comparison.differences == {Benchmark.et_bench: {}}, "prompt and parser are the authors'"


def test_a_run_shows_the_evaluation_at_its_end_and_the_newest_of_each_benchmark(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    old = result(run.path / EVALUATIONS_FOLDER / "step-000040" / "charades_sta", 0.4)
    os.utime(old / "results.json", (1, 1))
    result(run.path / EVALUATIONS_FOLDER / "step-000060" / "charades_sta", 0.6)
    row = compare([run.path]).rows[-1]
    assert row.scores[Benchmark.charades_sta, "miou"] == 0.6
    assert row.scores[Benchmark.samples, "miou"] == 0.5
    only = compare([run.path], Benchmark.samples)
    assert list(only.columns) == [(Benchmark.samples, "miou")]
    table = comparison_markdown(only)
    assert "| run | 50.0 |\n| run, blind | 20.0 |" in table
    assert "- Settings, samples: model m after 3 steps; data e.jsonl; prompt timestamps template;" in table
    assert len(only.rows) == 1, "nothing is published of one's own samples"


def test_the_json_has_shares_and_says_what_is_published(tmp_path: Path) -> None:
    rows = json.loads(comparison_json(compare([result(tmp_path / "one", 0.6)])))["rows"]
    assert rows[-1]["scores"]["charades_sta/miou"] == 0.6
    assert rows[-1]["blind"] == {"charades_sta/miou": 0.25}
    published = {row["name"]: row["scores"]["charades_sta/miou"] for row in rows if row["published"]}
    assert published["MUSEG-3B"] == pytest.approx(0.537)


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no result: give a folder"):
        compare([tmp_path])
    with pytest.raises(DataError, match="holds no result of thumos14"):
        compare([result(tmp_path / "one", 0.6)], Benchmark.thumos14)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DataError, match="isn't a result of `museg eval`"):
        compare([tmp_path])


def test_published_averages_are_the_means_of_their_four_abilities() -> None:
    for row in PUBLISHED:
        abilities = [row.scores[Benchmark.et_bench, name] for name in ("REF", "GND", "CAP", "COM")]
        assert row.scores[Benchmark.et_bench, "AVG"] == pytest.approx(sum(abilities) / 4, abs=1.1e-3), row.model
