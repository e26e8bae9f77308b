"""A prompt and its clip as the learner's model and the generator's engine take them: same tokens, pixels and positions.

The clip's frames are at their final size and rate already, so neither side may resize or resample them. The engine gets
`engine_video_input(clip)` as its video and `ENGINE_PROCESSOR_KWARGS` as its `mm_processor_kwargs`:

    LLM(..., mm_processor_kwargs=ENGINE_PROCESSOR_KWARGS)
    llm.generate({"prompt": prompt, "multi_modal_data": {"video": engine_video_input(clip)}}, ...)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypedDict, overload

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLProcessor

from museg.errors import DataError
from museg.policy.loading import check_model_folder
from museg.policy.patches import Patcher
from museg.policy.positions import prompt_positions
from museg.policy.vision import EmbeddedVideo
from museg.video.clip import VideoClip

VIDEO_PLACEHOLDER: Final = "<|video_pad|>"

ENGINE_PROCESSOR_KWARGS: Final[Mapping[str, bool]] = {"do_resize": False, "do_sample_frames": False}
"""vLLM's `mm_processor_kwargs`. Without them a processor of another folder may enlarge small frames to its own minimum,
or drop frames."""

_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", VIDEO_PLACEHOLDER)


class EngineVideoMetadata(TypedDict):
    """What vLLM 0.32 hands on to transformers' `VideoMetadata`."""

    fps: float
    total_num_frames: int
    frames_indices: list[int]
    duration: float
    video_backend: str
    do_sample_frames: bool


class EngineVideoEmbeddings(TypedDict):
    """What vLLM takes instead of frames, with `enable_mm_embeds`."""

    video_embeds: torch.Tensor
    """`[V, h]`."""
    video_grid_thw: torch.Tensor
    """`[1, 3]`."""
    second_per_grid_ts: torch.Tensor
    """`[1]`; without it vLLM takes 1 second, silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInputs:
    """One prompt with one video, tokenised and cut into patches.

    Letters: T prompt tokens, N patches, D values of a patch (3 channels · 2 frames · 14 · 14), V merged visual tokens,
    h hidden size.
    """

    video: str
    """Path of the video as the sample names it."""
    input_ids: torch.Tensor
    """`[T]`, the placeholder repeated once per merged visual token."""
    pixel_values: torch.Tensor
    """Normalised, float32 `[N, D]`; `[0, D]` where the tower has run already."""
    embeddings: torch.Tensor | None = None
    """What a frozen tower made of the video, `[V, h]`."""
    grid_thw: torch.Tensor
    """`[1, 3]`, patches over time, height and width."""
    second_per_grid_s: float
    """Seconds of video between two temporal grid steps, as the engine rounds it."""
    positions: torch.Tensor
    """`[3, T]`, temporal, height, width."""
    next_position: int
    """Position of a completion's first token, on all axes."""

    @property
    def num_tokens(self) -> int:
        """T, what the prompt takes of the context."""
        return self.input_ids.shape[0]


class PromptEncoder:
    """Encodes prompts for the learner.

    encoder = PromptEncoder.from_folder(path, dtype=torch.bfloat16)
    inputs = encoder.encode(prompt, clip)
    """

    def __init__(self, processor: Qwen2_5_VLProcessor, config: Qwen2_5_VLConfig, *, dtype: torch.dtype) -> None:
        self._tokenizer = processor.tokenizer
        self._patcher = Patcher(processor.video_processor)
        self._config = config
        self._dtype = dtype

    @classmethod
    def from_folder(cls, path: Path, *, dtype: torch.dtype) -> Self:
        """Load processor and configuration of a model folder.

        Args:
            path: Hugging Face folder of a Qwen2.5-VL model.
            dtype: of the engine's model; it decides how the engine rounds `second_per_grid_ts`.

        Raises:
            ModelError: the folder isn't a complete Qwen2.5-VL model.
        """
        check_model_folder(path)
        # Without the flag, transformers would ask on a terminal whether to run the folder's own code.
        processor = Qwen2_5_VLProcessor.from_pretrained(path, trust_remote_code=False)
        return cls(processor, Qwen2_5_VLConfig.from_pretrained(path), dtype=dtype)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._tokenizer

    def encode(self, prompt: str, clip: VideoClip | EmbeddedVideo) -> PromptInputs:
        """Tokenise a prompt around its clip's patches, or around what a frozen tower made of them.

        Args:
            prompt: chat-formatted text with one `<|video_pad|>`.
            clip: its video, at final size.

        Raises:
            DataError: the prompt hasn't exactly one placeholder.
        """
        if (num_placeholders := prompt.count(VIDEO_PLACEHOLDER)) != 1:
            raise DataError(
                f"prompt of {clip.video} has {num_placeholders} {VIDEO_PLACEHOLDER}: a question must not contain any, "
                "and the chat format adds one"
            )
        pixel_values, embeddings, grid, second_per_grid_s = self._seen(clip)
        second_per_grid_s = engine_second_per_grid(second_per_grid_s, self._dtype)
        num_visual = math.prod(grid) // self._patcher.merge_size**2
        # A special token is the same ids however often and wherever it stands, and a long run of them slow to tokenise.
        ids = self._tokenizer(prompt)["input_ids"]
        start = ids.index(self._config.video_token_id)
        ids[start : start + 1] = [self._config.video_token_id] * num_visual
        input_ids, grid_thw = torch.tensor(ids), torch.tensor([grid])
        positions, next_position = prompt_positions(input_ids, grid_thw, second_per_grid_s, self._config)
        return PromptInputs(
            video=clip.video,
            input_ids=input_ids,
            pixel_values=pixel_values,
            embeddings=embeddings,
            grid_thw=grid_thw,
            second_per_grid_s=second_per_grid_s,
            positions=positions,
            next_position=next_position,
        )

    def _seen(
        self, clip: VideoClip | EmbeddedVideo
    ) -> tuple[torch.Tensor, torch.Tensor | None, tuple[int, int, int], float]:
        """Patches or embeddings, the grid, and the seconds between its temporal steps."""
        if isinstance(clip, EmbeddedVideo):
            return self._patcher.no_patches, clip.embeddings, clip.grid_thw, clip.second_per_grid_s
        pixel_values, grid = self._patcher.cut(clip.frames)
        return pixel_values, None, grid, self._patcher.num_times / clip.sample_fps


@overload
def engine_video_input(clip: VideoClip) -> tuple[npt.NDArray[np.uint8], EngineVideoMetadata]: ...


@overload
def engine_video_input(clip: EmbeddedVideo) -> EngineVideoEmbeddings: ...


def engine_video_input(
    clip: VideoClip | EmbeddedVideo,
) -> tuple[npt.NDArray[np.uint8], EngineVideoMetadata] | EngineVideoEmbeddings:
    """The clip as vLLM's `multi_modal_data["video"]`.

    Both processors take `len(frames_indices) / total_num_frames * fps` for the sampled rate, and 24 fps, silently,
    where one of the three is missing. The stored frames are therefore declared to be all there is, at `sample_fps`.
    """
    if isinstance(clip, EmbeddedVideo):
        return EngineVideoEmbeddings(
            video_embeds=clip.embeddings,
            video_grid_thw=torch.tensor([clip.grid_thw]),
            # vLLM rounds it only where it comes with pixels.
            second_per_grid_ts=torch.tensor([engine_second_per_grid(clip.second_per_grid_s, clip.embeddings.dtype)]),
        )
    num_frames = clip.frames.shape[0]
    metadata = EngineVideoMetadata(
        fps=clip.sample_fps,
        total_num_frames=num_frames,
        frames_indices=list(range(num_frames)),
        duration=num_frames / clip.sample_fps,
        video_backend="decord",
        do_sample_frames=False,
    )
    return clip.frames, metadata


def engine_second_per_grid(second_per_grid_s: float, dtype: torch.dtype) -> float:
    """`second_per_grid_ts` as it reaches vLLM's positions: rounded to float32, then to the model's dtype.

    vLLM 0.32 casts all floating-point outputs of a processor to the model's dtype (`_postprocess_output` in
    `multimodal/processing/context.py`), this one too. In bfloat16 it shifts a long video's last positions by several.
    """
    return torch.tensor(second_per_grid_s, dtype=torch.float32).to(dtype).item()


def vision_token_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Ids that must never be sampled: the learner would look for the pixels of a sampled placeholder.

    The object, box and quad tokens are ordinary text to the model and stay allowed.
    """
    vocabulary = tokenizer.get_vocab()
    return tuple(sorted(vocabulary[token] for token in _VISION_TOKENS if token in vocabulary))
