"""The sizes of a Qwen2.5-VL model that decide what a step costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from transformers import Qwen2_5_VLConfig

from museg.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class TextShape:
    """The language model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    """The output layer is the embedding."""

    @property
    def layer_weights(self) -> int:
        """Weights of all layers' matrices: what every token is multiplied with, but for the output layer."""
        attention = self.hidden * (2 * self.heads + 2 * self.kv_heads) * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def embedding_weights(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """With embeddings, biases of queries, keys and values, and norms."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim
        small = self.layers * (biases + 2 * self.hidden) + self.hidden
        return self.layer_weights + small + self.embedding_weights * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionShape:
    """The vision tower, whose blocks attend within windows but for a few that see a whole temporal grid step."""

    blocks: int
    full_blocks: int
    """Blocks that attend over a whole grid step."""
    hidden: int
    intermediate: int
    patch_values: int
    """Values of one patch: channels · frames · height · width."""
    merge: int
    """Patches along each side of a visual token."""
    window: int
    """Visual tokens along each side of a window."""
    output: int
    """Width of a visual token, that of the language model."""

    @property
    def block_weights(self) -> int:
        """Weights of all blocks' matrices."""
        return self.blocks * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)

    @property
    def merger_width(self) -> int:
        return self.hidden * self.merge**2

    @property
    def parameters(self) -> int:
        """With biases and norms."""
        merger = self.merger_width * (self.merger_width + self.output) + self.merger_width + self.output + self.hidden
        small = self.blocks * (4 * self.hidden + 2 * self.intermediate + self.hidden + 2 * self.hidden)
        return self.block_weights + small + self.patch_values * self.hidden + merger


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A whole model.

    shape = ModelShape.of(Qwen2_5_VLConfig.from_pretrained(folder))
    """

    text: TextShape
    vision: VisionShape

    @property
    def parameters(self) -> int:
        return self.text.parameters + self.vision.parameters

    @classmethod
    def of(cls, config: Qwen2_5_VLConfig) -> Self:
        """The shape of a transformers configuration."""
        text, vision = config.text_config, config.vision_config
        return cls(
            text=TextShape(
                layers=text.num_hidden_layers,
                hidden=text.hidden_size,
                heads=text.num_attention_heads,
                kv_heads=text.num_key_value_heads,
                head_dim=text.hidden_size // text.num_attention_heads,
                intermediate=text.intermediate_size,
                vocabulary=text.vocab_size,
                tied=bool(config.tie_word_embeddings),
            ),
            vision=VisionShape(
                blocks=vision.depth,
                full_blocks=len(vision.fullatt_block_indexes),
                hidden=vision.hidden_size,
                intermediate=vision.intermediate_size,
                patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
                merge=vision.spatial_merge_size,
                window=vision.window_size // vision.spatial_merge_size // vision.patch_size,
                output=vision.out_hidden_size,
            ),
        )

    @classmethod
    def from_folder(cls, path: Path) -> Self:
        """The shape of the model in a Hugging Face folder, of which only config.json is read.

        Raises:
            ModelError: there is none, or it isn't a Qwen2.5-VL's.
        """
        if not (path / "config.json").is_file():
            raise ModelError(
                f"model.path {path} has no config.json to take the model's shape from: give a local Hugging Face "
                "folder of a Qwen2.5-VL model, or --model-shape 3b or 7b"
            )
        try:
            config = Qwen2_5_VLConfig.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path / 'config.json'} can't be read ({error}): save the model again") from error
        if config.model_type != "qwen2_5_vl":
            raise ModelError(f"{path / 'config.json'} has model_type {config.model_type!r}: it must be 'qwen2_5_vl'")
        return cls.of(config)


def _published_vision(output: int) -> VisionShape:
    return VisionShape(
        blocks=32,
        full_blocks=4,
        hidden=1280,
        intermediate=3420,
        patch_values=3 * 2 * 14 * 14,
        merge=2,
        window=4,
        output=output,
    )


MODEL_SHAPES = {
    "3b": ModelShape(
        text=TextShape(
            layers=36,
            hidden=2048,
            heads=16,
            kv_heads=2,
            head_dim=128,
            intermediate=11008,
            vocabulary=151_936,
            tied=True,
        ),
        vision=_published_vision(2048),
    ),
    "7b": ModelShape(
        text=TextShape(
            layers=28,
            hidden=3584,
            heads=28,
            kv_heads=4,
            head_dim=128,
            intermediate=18944,
            vocabulary=152_064,
            tied=False,
        ),
        vision=_published_vision(3584),
    ),
}
"""Qwen2.5-VL-3B-Instruct's and 7B-Instruct's, as in their config.json."""
