"""What the benches of whole steps run on: random models, videos whose prompts have a chosen length, and questions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from museg.config.choices import Template
from museg.config.schema import VideoConfig
from museg.data.prompts import chat_prompt, question
from museg.data.samples import Sample, write_samples
from museg.errors import ConfigError
from museg.tiny_model.architecture import build_model, build_processor, model_config, save_model
from museg.video.pixel_budget import PATCH

NUM_FRAMES = 8
"""Frames that are sampled of every video; two of them share their visual tokens."""

NUM_GRIDS = NUM_FRAMES // 2
_FPS = 2
_STORED_FPS = 8
_FILLER = " a"
"""One token, with which questions are lengthened."""
_MIN_FILLER = 2 * NUM_GRIDS
"""What a peer's prompt may have more of special tokens; its question is shorter by as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A random Qwen2.5-VL with heads of 32 and the tiny vocabulary."""

    hidden_size: int = 128
    num_layers: int = 4
    num_stop_tokens: int = 0
    """Tokens of the vocabulary that end a completion beside the usual ones: a random model emits each of them about as
    often as any other, so completions have lengths of a geometric distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptShape:
    """A prompt of exactly `num_tokens`: a video and a question."""

    num_tokens: int
    rows: int
    """Visual tokens over a frame's height."""
    columns: int

    @property
    def num_visual_tokens(self) -> int:
        return NUM_GRIDS * self.rows * self.columns

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows * PATCH, self.columns * PATCH

    def video_config(self) -> VideoConfig:
        """Settings under which every video is sampled at its own size, all of its visual tokens wanted."""
        area = math.prod(self.frame_size)
        return VideoConfig(
            fps=_FPS,
            min_frames=NUM_FRAMES,
            max_frames=NUM_FRAMES,
            min_pixels=PATCH * PATCH,
            max_pixels=area,
            total_pixels=area * NUM_FRAMES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchData:
    """Samples whose videos differ; every prompt has the length of `shape`."""

    samples: tuple[Sample, ...]
    file: Path
    video_root: Path
    shape: PromptShape


def build_model_folder(folder: Path, shape: ModelShape, *, seed: int) -> Path:
    """Write a random float32 model with its processor."""
    processor = build_processor()
    model = build_model(processor.tokenizer, seed=seed) if shape == ModelShape() else _model(processor, shape, seed)
    stop = np.random.default_rng(seed).permutation(_text_tokens(processor.tokenizer))[: shape.num_stop_tokens]
    model.generation_config.eos_token_id += stop.tolist()
    save_model(model, processor, folder)
    return folder


def prompt_shape(tokenizer: PreTrainedTokenizerBase, num_tokens: int) -> PromptShape:
    """The largest frames whose video leaves room for the question.

    Raises:
        ConfigError: not even frames of one visual token do.
    """
    text = _num_text_tokens(tokenizer, _question("")) + _MIN_FILLER
    cells = (num_tokens - text) // NUM_GRIDS
    if cells < 1:
        raise ConfigError(f"bench: --prompt-tokens must be at least {text + NUM_GRIDS} (got {num_tokens})")
    rows = math.isqrt(cells)
    return PromptShape(num_tokens=num_tokens, rows=rows, columns=cells // rows)


def make_data(folder: Path, processor: Qwen2_5_VLProcessor, shape: PromptShape, count: int, *, seed: int) -> BenchData:
    """Write `count` samples with a video of four seconds each."""
    problem = filled(processor.tokenizer, shape.num_tokens - shape.num_visual_tokens)
    (folder / "videos").mkdir(parents=True)
    samples = tuple(
        Sample(idx=idx, problem=problem, solution=((1.0, 3.0),), video=f"videos/{idx}.mp4", task="tvg", duration_s=4.0)
        for idx in range(count)
    )
    for sample in samples:
        _write_video(folder / sample.video, shape.frame_size, np.random.default_rng((seed, sample.idx)))
    write_samples(folder / "samples.jsonl", samples)
    return BenchData(samples=samples, file=folder / "samples.jsonl", video_root=folder, shape=shape)


def filled(tokenizer: PreTrainedTokenizerBase, num_tokens: int) -> str:
    """A problem whose prompt has so many tokens beside the visual ones."""
    problem = _FILLER * (num_tokens - _num_text_tokens(tokenizer, _question("")))
    if (found := _num_text_tokens(tokenizer, _question(problem))) != num_tokens:
        raise AssertionError(f"{num_tokens} tokens were wanted and {found} came")
    return problem


def _num_text_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(chat_prompt(tokenizer, text))["input_ids"]) - 1


def _question(problem: str) -> str:
    return question(Sample(idx=0, problem=problem, solution=(), video="", task="tvg"), Template.timestamps)


def _model(processor: Qwen2_5_VLProcessor, shape: ModelShape, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A wider or deeper one of the tiny model's kind."""
    config = model_config(processor.tokenizer)
    text = config.text_config
    text.hidden_size, text.intermediate_size = shape.hidden_size, 2 * shape.hidden_size
    text.num_attention_heads, text.num_key_value_heads = shape.hidden_size // 32, shape.hidden_size // 64
    text.num_hidden_layers = text.max_window_layers = shape.num_layers
    text.layer_types = ["full_attention"] * shape.num_layers
    config.vision_config.out_hidden_size = shape.hidden_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = build_model(processor.tokenizer, seed=seed).generation_config
    return model


def _text_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    special = set(tokenizer.all_special_ids)
    return [token_id for token_id in range(len(tokenizer)) if token_id not in special]


def _write_video(path: Path, size: tuple[int, int], rng: np.random.Generator) -> None:
    """Waves that move: cheap to encode, and no two videos alike."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_STORED_FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index, pixels in enumerate(_waves(height, width, NUM_FRAMES // _FPS * _STORED_FPS, rng)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, _STORED_FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _waves(height: int, width: int, num_frames: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """`[num_frames, height, width, 3]`."""
    y, x, t = np.ogrid[0:height, 0:width, 0:num_frames]
    phases = [sum(rate * axis for rate, axis in zip(rng.uniform(0.02, 0.2, 3), (y, x, t), strict=True)) for _ in "rgb"]
    return np.stack([(127 * (1 + np.sin(phase))).astype(np.uint8).transpose(2, 0, 1) for phase in phases], axis=-1)
