"""The whole configuration: one dataclass a room, one default and one sentence a knob."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from omegaconf import MISSING


class Template(StrEnum):
    """Question templates of the authors (museg/data/prompts.py)."""

    timestamps = "timestamps"
    plain = "plain"


class DType(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class Schedule(StrEnum):
    linear = "linear"
    constant = "constant"


class RewardPreset(StrEnum):
    reference = "reference"


class SyncBackend(StrEnum):
    auto = "auto"
    object_store = "object_store"
    nccl = "nccl"


@dataclass(kw_only=True)
class RunConfig:
    name: str = MISSING
    """Names the run directory `<root>/<name>` and the actors."""
    root: str = "runs"


@dataclass(kw_only=True)
class ModelConfig:
    path: str = MISSING
    """Hugging Face folder of a Qwen2.5-VL model, processor included."""
    dtype: DType = DType.bfloat16


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


@dataclass(kw_only=True)
class GRPOConfig:
    group_size: int = 8
    """Completions sampled per prompt (G)."""
    prompts_per_step: int = 14
    """Prompts of one GRPO step (P)."""
    steps: int = 400
    kl_beta: float = 0.04
    """Weight of the KL penalty against the starting policy; 0 loads no reference."""
    advantage_eps: float = 1e-4
    """Added to a group's reward deviation."""


@dataclass(kw_only=True)
class GenerationConfig:
    workers: int = 1
    temperature: float = 0.9
    top_p: float = 1.0
    """Must be 1: the learner scores the whole distribution."""
    max_tokens: int = 512
    """Longest completion."""
    max_model_len: int = 4096
    """Context: prompt, video and completion."""
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float = 1.0
    """Size of the KV cache on CPU."""
    threads: int = 1
    """CPU threads of one worker's engine."""
    cpus: float = 1.0
    """CPUs that Ray reserves for one worker."""
    enforce_eager: bool = False
    """Skip graph compilation (always so on CPU)."""
    timeout_s: float = 1800.0
    """Longest wait for one batch of completions."""


@dataclass(kw_only=True)
class RewardConfig:
    workers: int = 4
    preset: RewardPreset = RewardPreset.reference
    functions: list[str] = field(default_factory=lambda: ["format", "segment_matching"])
    """Rewards whose weighted sum GRPO maximises."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight of a reward in the sum, where it isn't 1."""
    cpus: float = 1.0
    """CPUs that Ray reserves for one worker."""
    timeout_s: float = 300.0
    """Longest wait for one video or one group's scores."""


@dataclass(kw_only=True)
class LearnerConfig:
    ranks: int = 1
    zero_stage: int = 3
    lr: float = 1.5e-6
    schedule: Schedule = Schedule.linear
    """`linear` decays to `final_lr_fraction` of lr at the last step."""
    final_lr_fraction: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = True
    threads: int = 1
    """CPU threads of one rank."""
    cpus: float = 1.0
    """CPUs that Ray reserves for one rank."""
    timeout_s: float = 1800.0
    """Longest wait for one step of all ranks."""


@dataclass(kw_only=True)
class SyncConfig:
    backend: SyncBackend = SyncBackend.auto
    """`auto`: NCCL on CUDA, the object store on CPU."""
    bucket_mib: int = 256
    """Parameters travel in buckets of about this size; never the whole model at once."""
    timeout_s: float = 600.0


@dataclass(kw_only=True)
class PipelineConfig:
    staleness: int = 0
    """Steps that generation may run ahead of the weights; 0 is strictly on-policy."""
    prefetch_steps: int = 2
    """Steps whose videos are decoded ahead of use."""


@dataclass(kw_only=True)
class CheckpointConfig:
    every_steps: int = 100
    keep: int = 3
    """Newest checkpoints that stay; older ones are removed."""


@dataclass(kw_only=True)
class EvalConfig:
    every_steps: int = 100
    samples: int | None = None
    """Evaluate on the first so many held-out samples while training (before and after: on all)."""
    max_tokens: int = 512
    blind: bool = True
    """Also score the same questions with the videos swapped among samples of similar length."""


@dataclass(kw_only=True)
class Config:
    """Everything that decides a run."""

    seed: int = 42
    deterministic: bool = False
    """Refuse torch operations that aren't deterministic."""
    resume: str = "auto"
    """`auto` continues the run directory's newest checkpoint, `never` refuses to, a path names one."""
    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
