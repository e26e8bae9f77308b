"""Loading the policy: a Qwen2.5-VL folder, its text attention replaced by the packed one."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from museg.errors import ModelError
from museg.policy.attention import PACKED_GROUP
from museg.policy.model import PackedPolicy
from museg.policy.patches import Patcher
from museg.policy.vision import VisionTower

_PROCESSOR_FILES = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


def check_model_folder(path: Path) -> None:
    """See that `path` is a Qwen2.5-VL model with weights, processor and tokenizer, reading only its configuration.

    Raises:
        ModelError: it isn't; says which part is missing. Or it comes with what would run as code: weights that are
            pickles, or modules of its own (`auto_map`).
    """
    if not path.is_dir():
        raise ModelError(f"model.path {path} isn't a folder: give a local Hugging Face folder of a Qwen2.5-VL model")
    config_file = path / "config.json"
    if not config_file.is_file():
        raise ModelError(
            f"model.path {path} has no config.json: give a local Hugging Face folder of a Qwen2.5-VL model"
        )
    try:
        config = json.loads(config_file.read_text())
    except ValueError as error:
        raise ModelError(f"{config_file} isn't JSON ({error}): save the model again") from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type != "qwen2_5_vl":
        raise ModelError(f"{config_file} has model_type {model_type!r}: only 'qwen2_5_vl' can be trained")
    _require_safetensors(path)
    _refuse_custom_code(path)
    for kind, names in (("processor", _PROCESSOR_FILES), ("tokenizer", _TOKENIZER_FILES)):
        if not any((path / name).is_file() for name in names):
            raise ModelError(f"model.path {path} has no {kind} ({' or '.join(names)}): save its processor there too")


def _require_safetensors(path: Path) -> None:
    if any(path.glob("*.safetensors")):
        return
    pickles = sorted(file.name for suffix in _PICKLES for file in path.glob(f"*{suffix}"))
    if pickles:
        raise ModelError(
            f"model.path {path} has no *.safetensors weights, only {pickles[0]}, a pickle, which can run code when it "
            "is read: load it where you trust it and save it with save_pretrained, which writes safetensors"
        )
    raise ModelError(f"model.path {path} has no *.safetensors weights: save the model with save_pretrained")


def _refuse_custom_code(path: Path) -> None:
    # The loaders are told not to run any (trust_remote_code=False); this says so before they stumble over it.
    for file in sorted(path.glob("*config.json")):
        if '"auto_map"' in file.read_text(encoding="utf-8", errors="replace"):
            raise ModelError(
                f"{file} names code of the model's own (auto_map), which is never run: remove that entry, which "
                "transformers' own Qwen2.5-VL doesn't need"
            )


def load_policy(
    path: Path, *, dtype: torch.dtype, gradient_checkpointing: bool, freeze_vision: bool = False
) -> PackedPolicy:
    """Load the model of a folder, in training mode, on the CPU.

    Text attention is `packed_group` (plain SDPA on calls that pass no packed layout), the vision tower's is SDPA.
    Gradient checkpointing, non-reentrant, covers the text layers and the tower's blocks.

    Args:
        path: Hugging Face folder of a Qwen2.5-VL model.
        dtype: of the weights.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        freeze_vision: take the vision tower out of the module, into `frozen_tower`.

    Raises:
        ModelError: the folder isn't a complete Qwen2.5-VL model.
    """
    check_model_folder(path)
    model = PackedPolicy.from_pretrained(
        path,
        dtype=dtype,
        use_safetensors=True,
        attn_implementation={"": "sdpa", "text_config": PACKED_GROUP, "vision_config": "sdpa"},
    )
    if freeze_vision:
        model.frozen_tower = VisionTower.taken_from(model, Patcher.from_folder(path))
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()
