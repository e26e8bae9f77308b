from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.cli import warm_start as command
from museg.config.schema import RewardConfig
from museg.data.samples import Sample, read_samples
from museg.data.targets import target_text
from museg.errors import DataError, ModelError
from museg.policy.inputs import PromptEncoder
from museg.rewards.answers import parse_answer
from museg.rewards.scoring import Scorer
from museg.synthesis.dataset import synthesize
from museg.synthesis.settings import SplitSettings, SynthesisSettings
from museg.tiny_model.lessons import read_lessons
from museg.tiny_model.supervision import Teacher
from museg.tiny_model.warm_start import LOOSE_ANSWERS, WarmStartSettings, warm_start
from museg.tiny_model.wording import answer_text

SETTINGS = WarmStartSettings(steps=5, score_samples=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = SplitSettings(num_samples=8, min_event_s=2, max_event_s=6)
    settings = SynthesisSettings(
        warm_start=SplitSettings(num_samples=16, min_event_s=7, max_event_s=14), train=short, eval=short
    )
    return synthesize(settings, tmp_path_factory.mktemp("synthetic") / "data", workers=1).root


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_start(SETTINGS, data, tmp_path_factory.mktemp("models") / "warm").path


def test_the_full_marks_answer_gets_full_marks() -> None:
    segments = ((2.0, 5.0), (9.0, 12.0))
    sample = Sample(idx=0, problem="When?", solution=segments, video="a.mp4", task="tal")
    rewards = Scorer.from_config(RewardConfig()).score(answer_text(segments), sample)
    assert rewards.total == pytest.approx(3.0, abs=1e-5)


def test_a_warm_start_learns_and_records_what_it_did(model: Path) -> None:
    record = json.loads((model / "warm_start.json").read_text())
    assert record["settings"]["steps"] == 5
    assert [row["step"] for row in record["losses"]] == [0, 4]
    assert record["losses"][-1]["answer"] < record["losses"][0]["answer"]
    assert set(record["score"]) >= {"miou", "segment_matching", "format", "blind/miou"}
    Qwen2_5_VLForConditionalGeneration.from_pretrained(model)


def test_the_same_settings_and_data_reuse_the_model(model: Path, data: Path) -> None:
    written = (model / "model.safetensors").stat().st_mtime_ns
    again = warm_start(SETTINGS, data, model)
    assert again.reused
    assert (model / "model.safetensors").stat().st_mtime_ns == written


def test_the_seed_decides_the_model(model: Path, data: Path, tmp_path: Path) -> None:
    again = warm_start(SETTINGS, data, tmp_path / "again")
    assert not again.reused
    assert (again.path / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_other_settings_replace_a_model_only_by_force(model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    warm_start(WarmStartSettings(steps=1, score_samples=2), data, output)
    other = WarmStartSettings(steps=2, score_samples=2)
    with pytest.raises(ModelError, match="--force"):
        warm_start(other, data, output)
    (output / "sft").mkdir()
    assert not warm_start(other, data, output, force=True).reused
    assert not (output / "sft").exists(), "it would be taken for a supervised run of the new model"


def test_a_folder_that_no_warm_start_wrote_stays(data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="isn't a warm-started model"):
        warm_start(SETTINGS, data, tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_without_the_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"warm_start\.jsonl is missing"):
        warm_start(SETTINGS, tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_loose_answers_are_right_but_too_wide(model: Path, data: Path) -> None:
    lessons = read_lessons(data, min_event_s=4, seed=SETTINGS.seed)
    samples = read_samples(model / LOOSE_ANSWERS)
    assert [sample.solution for sample in samples] == [lesson.segments for lesson in lessons]
    slacks_s = []
    for sample in samples:
        loose = parse_answer(target_text(sample)).segments
        assert len(loose) == len(sample.solution)
        for (start, end), (loose_start, loose_end) in zip(sample.solution, loose, strict=True):
            slacks_s += [start - loose_start, loose_end - end]
    assert min(slacks_s) >= 0
    assert max(slacks_s) == SETTINGS.loose_s
    assert len(set(slacks_s)) == SETTINGS.loose_s + 1


def test_a_video_is_asked_about_each_of_its_long_contents(data: Path) -> None:
    lessons = read_lessons(data, min_event_s=4, seed=0)
    assert len({lesson.clip.video for lesson in lessons}) == 16 < len(lessons)
    for lesson in lessons:
        asked = {lesson.seconds[int(start)] for start, _ in lesson.segments}
        assert len(asked) == 1
        assert all(end - start >= 4 for start, end in lesson.segments)
        covered = {second for start, end in lesson.segments for second in range(int(start), int(end))}
        assert covered == {index for index, shown in enumerate(lesson.seconds) if shown in asked}


def test_exercises_look_at_the_seconds_that_the_answer_says(model: Path, data: Path) -> None:
    teacher = Teacher(PromptEncoder.from_folder(model, dtype=torch.float32))
    lesson = next(lesson for lesson in read_lessons(data, min_event_s=4, seed=0) if len(lesson.segments) == 2)
    exercise = teacher.exercise(lesson)
    seen = np.array([place for _, place in exercise.looks]) - exercise.video_start
    assert seen.tolist() == [time for segment in lesson.segments for time in segment]
    tokens = exercise.prompt.input_ids.tolist() + list(exercise.answer_ids)
    assert len(exercise.copies) == 4
    assert all(tokens[predicting + 1] == tokens[said] for predicting, said in exercise.copies)


def test_the_command_hands_on_seed_and_steps(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    output = tmp_path / "model"
    args = parser.parse_args(
        ["warm-start", "--data", str(data), "--output", str(output), "--seed", "3", "--steps", "1"]
    )
    assert args.run(args) == 0
    record = json.loads((output / "warm_start.json").read_text())
    assert (record["settings"]["seed"], record["settings"]["steps"]) == (3, 1)
    assert "miou" in capsys.readouterr().out
