"""Floating-point operations of a group, counted from shapes: the prompt shared by its completions, or repeated.

A multiplication and its addition are two operations. Norms, rotations and activations aren't counted: less than 1%.
Letters: P prompt tokens with visual ones, C tokens of each completion, G completions, n tokens of a forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product

from transformers import Qwen2_5_VLConfig

from museg.planning.model_shape import ModelShape, TextShape, VisionShape

_ATTENTION_BACKWARD = 2.5
"""Operations of attention's backward per one of its forward: four products, and the scores computed anew."""
_LINEAR_BACKWARD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoGrid:
    """Patches of a video as the vision tower sees them (`grid_thw`): two frames, 14 × 14 pixels each."""

    time: int
    height: int
    width: int

    @property
    def patches(self) -> int:
        return self.time * self.height * self.width

    def tokens(self, vision: VisionShape) -> int:
        """Visual tokens."""
        return self.patches // vision.merge**2


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupShape:
    """A prompt with a video and its completions, all of one length."""

    prompt_tokens: int
    """P."""
    completion_tokens: int
    """C."""
    group_size: int
    """G."""
    video: VideoGrid

    @property
    def tokens(self) -> int:
        """Of the packed group: P + G · C."""
        return self.prompt_tokens + self.group_size * self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Operations by part of the model."""

    patches: float = 0.0
    """Embedding of the tower's patches."""
    tower_linear: float = 0.0
    """Matrices of the tower's blocks."""
    tower_attention: float = 0.0
    merger: float = 0.0
    text_linear: float = 0.0
    """Matrices of the language model's layers."""
    text_attention: float = 0.0
    logits: float = 0.0
    """The output layer, where a completion token is predicted."""

    @property
    def tower(self) -> float:
        return self.patches + self.tower_linear + self.tower_attention + self.merger

    @property
    def text(self) -> float:
        """Without logits."""
        return self.text_linear + self.text_attention

    @property
    def total(self) -> float:
        return self.tower + self.text + self.logits

    def __add__(self, other: Operations) -> Operations:
        return Operations(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(self)})

    def times(self, factor: float) -> Operations:
        """The same so many times over."""
        return Operations(**{part.name: getattr(self, part.name) * factor for part in fields(self)})

    def without_tower(self) -> Operations:
        """What is left where the video's embeddings are given."""
        return replace(self, patches=0.0, tower_linear=0.0, tower_attention=0.0, merger=0.0)


def tower_forward(vision: VisionShape, video: VideoGrid) -> Operations:
    """The vision tower over one video."""
    grid_step = video.height * video.width
    windowed = sum(size**2 for size in _window_patches(vision, video))
    pairs = video.time * (vision.full_blocks * grid_step**2 + (vision.blocks - vision.full_blocks) * windowed)
    merger = vision.merger_width * (vision.merger_width + vision.output)
    return Operations(
        patches=2.0 * video.patches * vision.patch_values * vision.hidden,
        tower_linear=2.0 * video.patches * vision.block_weights,
        tower_attention=4.0 * vision.hidden * pairs,
        merger=2.0 * video.tokens(vision) * merger,
    )


def text_forward(text: TextShape, *, tokens: int, pairs: int, scored: int) -> Operations:
    """The language model over `tokens` that attend in so many (query, key) `pairs`, with logits at `scored` of them."""
    return Operations(
        text_linear=2.0 * tokens * text.layer_weights,
        text_attention=4.0 * text.layers * text.heads * text.head_dim * pairs,
        logits=2.0 * scored * text.embedding_weights,
    )


def shared_forward(model: ModelShape, group: GroupShape) -> Operations:
    """One forward of a packed group: tower and prompt once."""
    own = group.completion_tokens * group.prompt_tokens + _causal_pairs(group.completion_tokens)
    return tower_forward(model.vision, group.video) + text_forward(
        model.text,
        tokens=group.tokens,
        pairs=_causal_pairs(group.prompt_tokens) + group.group_size * own,
        scored=group.group_size * group.completion_tokens,
    )


def repeated_forward(model: ModelShape, group: GroupShape) -> Operations:
    """The naive way: every completion is a row of its own behind the prompt and its video."""
    return shared_forward(model, replace(group, group_size=1)).times(group.group_size)


def prefill(model: ModelShape, group: GroupShape) -> Operations:
    """The engine's work before a group's first tokens, tower and prompt once."""
    text = text_forward(
        model.text, tokens=group.prompt_tokens, pairs=_causal_pairs(group.prompt_tokens), scored=group.group_size
    )
    return tower_forward(model.vision, group.video) + text


def kv_bytes_per_token(text: TextShape, bytes_per_value: int) -> int:
    """Keys and values of all layers."""
    return 2 * bytes_per_value * text.layers * text.kv_heads * text.head_dim


def decode_bytes(text: TextShape, *, sequences: float, context: float, bytes_per_value: int) -> float:
    """What the engine reads to grow `sequences` of a mean `context` by one token each: weights once, keys and values of
    every sequence (a shared prompt is stored once, but read by each)."""
    weights = bytes_per_value * (text.layer_weights + text.embedding_weights)
    return weights + sequences * context * kv_bytes_per_token(text, bytes_per_value)


def trained(forward: Operations, model: ModelShape, *, gradient_checkpointing: bool) -> Operations:
    """Forward and backward where this is the forward.

    Checkpointing computes blocks and layers twice, but for each one's last matrix, whose product no gradient asks for:
    torch stops there. Pixels need no gradient, so the patches' backward is half of another's. Logits are scored in
    chunks, which are computed twice in any case.
    """
    text, vision = model.text, model.vision
    last_of_text = text.layers * text.hidden * text.intermediate / text.layer_weights
    last_of_tower = vision.blocks * vision.hidden * vision.intermediate / vision.block_weights
    again = 1.0 if gradient_checkpointing else 0.0
    attention = 1.0 + again + _ATTENTION_BACKWARD
    return Operations(
        patches=forward.patches * (1.0 + _LINEAR_BACKWARD / 2),
        tower_linear=forward.tower_linear * (1.0 + again * (1 - last_of_tower) + _LINEAR_BACKWARD),
        tower_attention=forward.tower_attention * attention,
        merger=forward.merger * (1.0 + _LINEAR_BACKWARD),
        text_linear=forward.text_linear * (1.0 + again * (1 - last_of_text) + _LINEAR_BACKWARD),
        text_attention=forward.text_attention * attention,
        logits=forward.logits * (2.0 + _LINEAR_BACKWARD),
    )


def learner_limit(
    model_config: Qwen2_5_VLConfig,
    *,
    prompt_tokens: int,
    completion_tokens: int,
    group_size: int,
    video: VideoGrid,
    gradient_checkpointing: bool = False,
    freeze_vision: bool = False,
) -> float:
    """How many times fewer operations forward and backward of a packed group take than G rows of their own.

    Attention included; what a learner can gain where all operations are equally fast.

    Args:
        model_config: transformers' configuration.
        prompt_tokens: P, visual tokens included.
        video: patches over time, height and width.
        freeze_vision: the packed way gets the video's embeddings from elsewhere; the naive one still computes them.
    """
    model = ModelShape.of(model_config)
    group = GroupShape(
        prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, group_size=group_size, video=video
    )
    shared, repeated = (
        trained(forward(model, group), model, gradient_checkpointing=gradient_checkpointing)
        for forward in (shared_forward, repeated_forward)
    )
    return repeated.total / (shared.without_tower() if freeze_vision else shared).total


def _causal_pairs(tokens: int) -> int:
    return tokens * (tokens + 1) // 2


def _window_patches(vision: VisionShape, video: VideoGrid) -> Iterator[int]:
    """Patches of each window of a grid step; those at the edges are cut."""
    side = vision.window * vision.merge
    spans = ([min(side, length - start) for start in range(0, length, side)] for length in (video.height, video.width))
    return (height * width for height, width in product(*spans))
