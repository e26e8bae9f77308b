"""Which settings an evaluation gets: the authors', the configuration's and the user's."""

from __future__ import annotations

import argparse
from pathlib import Path

from museg.cli import eval as command
from museg.evaluation.benchmarks import Benchmark
from museg.runs.directory import RunDirectory

CONFIG = "run: {name: few}\nmodel: {path: m}\ndata: {train: t, eval: own.jsonl}\nvideo: {eval_max_frames: 64}\n"


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["eval", *arguments])


def written(tmp_path: Path) -> str:
    path = tmp_path / "few.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_published_benchmarks_are_asked_under_the_authors_settings(tmp_path: Path) -> None:
    args = parse(written(tmp_path), "--benchmark", "thumos14", "--data", "thumos14.json", "--video-root", "videos")
    config = command._config(args, Benchmark.thumos14)
    assert (config.data.eval, config.data.video_root) == ("thumos14.json", "videos")
    video = config.video
    assert (video.eval_max_frames, video.min_pixels, video.total_pixels) == (768, 16 * 28 * 28, 3584 * 28 * 28)
    assert (config.eval.max_tokens, config.data.eval_template) == (512, "timestamps")


def test_the_users_own_keys_win_wherever_they_stand(tmp_path: Path) -> None:
    args = parse(
        written(tmp_path),
        "video.eval_max_frames=32",
        "--data",
        "x.json",
        "--benchmark",
        "thumos14",
        "eval.max_tokens=9",
    )
    config = command._config(args, Benchmark.thumos14)
    assert (config.video.eval_max_frames, config.eval.max_tokens) == (32, 9)


def test_samples_are_asked_under_the_configurations_own_settings(tmp_path: Path) -> None:
    config = command._config(parse(written(tmp_path)), Benchmark.samples)
    assert (config.video.eval_max_frames, config.data.eval) == (64, "own.jsonl")


def test_a_run_is_asked_at_its_newest_checkpoint(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create(CONFIG)
    for step in (9, 120):
        run.checkpoint(step).mkdir()
    args = parse("--run", str(run.path))
    config = command._config(args, Benchmark.samples)
    assert Path(config.model.path) == run.checkpoint(120) / "hf"
    folder = command._default_folder(args.run_dir, config, Benchmark.samples)
    assert folder == run.path / "evaluations" / "step-000120" / "samples"
    named = command._config(parse("--run", str(run.path), "model.path=elsewhere"), Benchmark.samples)
    assert named.model.path == "elsewhere"
