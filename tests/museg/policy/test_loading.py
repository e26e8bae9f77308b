from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from museg.errors import ModelError
from museg.policy.attention import PACKED_GROUP
from museg.policy.inputs import PromptEncoder
from museg.policy.loading import check_model_folder, load_policy
from museg.policy.patches import Patcher


@pytest.fixture
def broken(model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "model")


def test_text_attention_is_packed_and_the_tower_keeps_sdpa(model_folder: Path) -> None:
    model = load_policy(model_folder, dtype=torch.bfloat16, gradient_checkpointing=True)
    assert model.config.text_config._attn_implementation == PACKED_GROUP
    assert model.config.vision_config._attn_implementation == "sdpa"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.training
    assert model.model.language_model.gradient_checkpointing
    assert model.model.visual.gradient_checkpointing


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere isn't a folder"):
        load_policy(tmp_path / "nowhere", dtype=torch.float32, gradient_checkpointing=False)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("config.json", r"has no config\.json"),
        ("*.safetensors", r"has no \*\.safetensors weights"),
        ("*processor*.json", "has no processor"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused_by_what_it_lacks(broken: Path, pattern: str, message: str) -> None:
    for file in broken.glob(pattern):
        file.unlink()
    with pytest.raises(ModelError, match=message):
        check_model_folder(broken)


def test_another_architecture_is_refused_by_name(broken: Path) -> None:
    (broken / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    with pytest.raises(ModelError, match="model_type 'qwen3_vl': only 'qwen2_5_vl' can be trained"):
        check_model_folder(broken)


def test_a_garbled_configuration_is_refused(broken: Path) -> None:
    (broken / "config.json").write_text("{")
    with pytest.raises(ModelError, match="isn't JSON"):
        check_model_folder(broken)


def test_weights_that_are_a_pickle_are_refused_before_anything_reads_them(broken: Path) -> None:
    for file in broken.glob("*.safetensors"):
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(
        ModelError, match=r"only pytorch_model\.bin, a pickle, .*: load it where you trust it and save it"
    ):
        load_policy(broken, dtype=torch.float32, gradient_checkpointing=False)


def test_a_pickle_beside_safetensors_is_never_read(broken: Path, tmp_path: Path) -> None:
    """An unrelated safetensors file passes the check; the loader then still takes no other format."""
    for file in broken.glob("*.safetensors"):
        file.rename(file.with_name("adapter.safetensors"))
    (broken / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "run")))
    with pytest.raises(OSError, match="safetensors"):
        load_policy(broken, dtype=torch.float32, gradient_checkpointing=False)
    assert not (tmp_path / "run").exists()


class Trap:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "processor_config.json"])
def test_a_model_with_code_of_its_own_is_refused(broken: Path, tmp_path: Path, file: str) -> None:
    set_trap(broken, file, tmp_path / "run")
    with pytest.raises(ModelError, match=rf"{file} names code of the model's own \(auto_map\), which is never run"):
        check_model_folder(broken)


def test_code_that_is_hidden_from_the_check_isnt_run_either(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names spelt with escapes are the same names to a JSON reader."""
    for file in ("config.json", "tokenizer_config.json", "processor_config.json"):
        set_trap(broken, file, tmp_path / "run")
        hidden = (broken / file).read_text().replace("auto_map", "\\u0061uto_map")
        (broken / file).write_text(hidden)
        assert "auto_map" in json.loads(hidden)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asks whether to run the code"))
    load_policy(broken, dtype=torch.float32, gradient_checkpointing=False)
    Patcher.from_folder(broken)
    PromptEncoder.from_folder(broken, dtype=torch.float32)
    assert not (tmp_path / "run").exists()


def set_trap(folder: Path, file: str, trace: Path) -> None:
    """Have a configuration name classes of a module in the folder that makes `trace` when it is imported."""
    (folder / "trap.py").write_text(f"import os\nos.mkdir({str(trace)!r})\n")
    kinds = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoVideoProcessor", "AutoImageProcessor")
    auto_map: dict[str, object] = dict.fromkeys(kinds, "trap.Trap") | {"AutoTokenizer": ["trap.Trap", "trap.Trap"]}
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, "auto_map": auto_map}))
