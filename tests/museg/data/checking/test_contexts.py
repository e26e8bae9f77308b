from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from museg.cli.main import main
from museg.config.schema import Config
from museg.data.checking.contexts import Context
from museg.data.prompts import chat_prompt, question
from museg.data.samples import Sample
from museg.policy.inputs import PromptEncoder
from museg.tiny_model import build_tiny_model
from museg.video.decoding import decode_clip
from tests.museg.data.checking.rows import check, row, write_rows
from tests.museg.video.footage import write_video


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = Config()
    config.run.name = "checked"
    config.model.path = str(build_tiny_model(tmp_path_factory.mktemp("context") / "model", seed=0))
    config.video.max_frames, config.video.min_pixels = 8, 784
    return config


def test_a_prompt_that_fills_the_context_with_its_video_is_an_error_at_the_very_token(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "a.mp4", num_frames=40, fps=Fraction(10), height=56, width=84)
    short, long = (row(idx, video="a.mp4", duration=4.0, problem="when? " * words) for idx, words in ((0, 1), (1, 200)))
    file = write_rows(tmp_path / "train.jsonl", short, long)
    context = Context.of(config)
    clip = decode_clip(tmp_path / "a.mp4", video="a.mp4", budget=context.budget)
    encoder = PromptEncoder.from_folder(Path(config.model.path), dtype=torch.float32)
    sample = Sample(idx=1, problem="when? " * 200, solution=((1.0, 2.5),), video="a.mp4", task="tvg")
    prompt = chat_prompt(context.processor, question(sample, config.data.template))
    num_tokens = len(encoder.encode(prompt, clip).input_ids)

    config.generation.max_model_len = num_tokens + 1
    assert not check(file, video_root=tmp_path, workers=1, context=context).has_errors
    config.generation.max_model_len = num_tokens
    (told,) = check(file, video_root=tmp_path, workers=1, context=context).anomalies
    assert (told.row, str(told.kind)) == (2, "too_long_prompt")
    assert told.detail.startswith(f"the prompt has {num_tokens} tokens, 24 of them the video's")

    (tmp_path / "run.yaml").write_text(
        f"run: {{name: checked}}\nmodel: {{path: {config.model.path}}}\n"
        f"data: {{train: {file}, video_root: {tmp_path}}}\nvideo: {{max_frames: 8, min_pixels: 784}}\n"
        f"generation: {{max_model_len: {num_tokens}, max_tokens: 16}}\neval: {{max_tokens: 16}}\n"
    )
    capsys.readouterr()
    assert main(["data", "check", str(file), "--config", str(tmp_path / "run.yaml"), "--workers", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"] == {"too_long_prompt": 1}
