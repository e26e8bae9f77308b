from __future__ import annotations

from pathlib import Path

from museg.config.schema import Config, DataConfig, ModelConfig, RunConfig
from museg.evaluation.settings import EvalSettings, eval_settings, model_fingerprint


def model_folder(path: Path, weights: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def settings(tmp_path: Path, **changes: object) -> EvalSettings:
    data = tmp_path / "data.json"
    data.write_text("[]")
    config = Config(
        run=RunConfig(name="test"),
        model=ModelConfig(path=str(tmp_path / "model")),
        data=DataConfig(train="unused", eval=str(data)),
    )
    for key, value in changes.items():
        section, _, name = key.partition("__")
        setattr(getattr(config, section), name, value)
    return eval_settings(config, prompt="when?", parser="numbers")


def test_two_checkpoints_differ_though_only_their_last_weights_do(tmp_path: Path) -> None:
    weights = bytes(3 << 20)
    one = model_fingerprint(model_folder(tmp_path / "one", weights))
    assert model_fingerprint(model_folder(tmp_path / "same", weights)) == one
    assert model_fingerprint(model_folder(tmp_path / "other", weights[:-1] + b"\1")) != one
    assert model_fingerprint(model_folder(tmp_path / "longer", weights + b"\0")) != one


def test_what_decides_the_answers_is_in_the_identity_and_where_files_lie_is_not(tmp_path: Path) -> None:
    model_folder(tmp_path / "model", b"weights")
    here = settings(tmp_path)
    assert here.identity() != settings(tmp_path, video__eval_max_frames=64).identity()
    assert here.identity() != settings(tmp_path, eval__max_tokens=64).identity()
    (tmp_path / "model").rename(tmp_path / "moved")
    moved = settings(tmp_path, model__path=str(tmp_path / "moved"))
    assert moved.model != here.model
    assert moved.identity() == here.identity()


def test_the_versions_of_all_that_answers_are_noted(tmp_path: Path) -> None:
    model_folder(tmp_path / "model", b"weights")
    assert settings(tmp_path).versions.keys() == {"museg", "torch", "vllm", "transformers", "ray", "decord"}
