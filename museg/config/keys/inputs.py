"""What a run begins with: the model, the samples, the videos."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from museg.config.choices import DType, Template


@dataclass(kw_only=True)
class ModelConfig:
    path: str = MISSING
    """Hugging Face folder of a Qwen2.5-VL model, processor included."""
    dtype: DType = DType.bfloat16


@dataclass(kw_only=True)
class PolicyConfig:
    freeze_vision: bool = False
    """Train the language model alone: the vision tower runs once a video, for policy, reference and generators."""


@dataclass(kw_only=True)
class DataConfig:
    train: str = MISSING
    """JSON lines of training samples."""
    eval: str | None = None
    """JSON lines of held-out samples; without it the run isn't evaluated."""
    video_root: str = "."
    """Folder that the samples' video paths are relative to."""
    template: Template = Template.timestamps
    """Question template when training."""
    eval_template: Template = Template.timestamps
    max_skipped_fraction: float = 0.05
    """Share of the videos drawn that may be missing or unreadable before the run stops (at least one may)."""
    allow_outside: bool = False
    """Also read videos that lie outside of `video_root`, by absolute paths or links. Never URLs, pipes or devices."""


@dataclass(kw_only=True)
class VideoConfig:
    fps: float = 2.0
    """Frames sampled a second."""
    min_frames: int = 4
    max_frames: int = 448
    eval_max_frames: int = 768
    min_pixels: int = 12_544
    """Lower bound of a frame's area; 28 × 28 pixels are one visual token of two frames."""
    max_pixels: int = 602_112
    """Upper bound of a frame's area."""
    total_pixels: int = 2_809_856
    """Budget of a whole video, shared among its frames."""
    cache_gib: float = 1.0
    """Decoded clips kept in the object store beyond their step, the least recently used given up first; 0: none."""
    cache_dir: str | None = None
    """Folder where decoded clips are kept on each node's disk, over runs; null: not at all."""
    cache_dir_gib: float = 50.0
    """Size of that folder, the least recently used clips removed first."""
    decode_timeout_s: float = 120.0
    """Longest time for one video before its decoding process is killed and the video is bad."""
    decode_memory_gib: float = 8.0
    """Address space of a decoding process; a video that needs more is bad."""
    decode_attempts: int = 3
    """Decoding processes that one video may cost (a crash, a kill) before it is bad."""
    max_file_gib: float = 16.0
    """A larger file is bad."""
    max_native_frames: int = 2_000_000
    """A video of more frames is bad."""
    max_native_pixels: int = 36_000_000
    """A video of larger pictures is bad (8K has 33 million pixels)."""
