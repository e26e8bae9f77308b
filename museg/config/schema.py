"""The whole configuration: one dataclass a room, one default and one sentence a knob."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from museg.config.choices import (
    AdvantageScale,
    Aggregation,
    Citations,
    Combination,
    DType,
    GlobalScore,
    KLEstimator,
    KLReference,
    OnRewardError,
    Pairing,
    RatioLevel,
    RewardPreset,
    Schedule,
    SyncBackend,
    Template,
    Variant,
    ZeroVariance,
)


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
    variant: Variant = Variant.grpo
    """Fills the five keys below that are null; a value there wins."""
    aggregation: Aggregation | None = None
    """How the tokens' losses become one."""
    ratio: RatioLevel | None = None
    """Ratio of new to old policy per token, or one per completion (GSPO)."""
    clip_low: float | None = None
    """The ratio is clipped below 1 - clip_low; null in a variant that doesn't clip."""
    clip_high: float | None = None
    """The ratio is clipped above 1 + clip_high."""
    advantage_scale: AdvantageScale | None = None
    """Divide advantages by their group's reward deviation, or not (Dr. GRPO)."""
    updates_per_rollout: int = 1
    """Optimizer steps on each step's completions; above 1 the variant must clip."""
    kl_estimator: KLEstimator = KLEstimator.k3
    """Estimator of the KL penalty (Schulman 2020)."""
    importance_cap: float | None = None
    """Truncated importance sampling: tokens weighted by min(learner / engine probability, cap); null: not at all, or by
    at most 2 where `pipeline.staleness` is above 0."""
    zero_variance: ZeroVariance = ZeroVariance.keep
    """What becomes of groups whose rewards are all equal."""
    max_resample_rounds: int = 3
    """Rounds of other prompts a step; groups that are still flat then are kept."""


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
    max_sequences: int = 256
    """Completions that grow side by side in one engine; more wait. Fewer finish earlier, for the learner to begin."""
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
class RewardRulesConfig:
    """Each difference between the presets by itself; null is the preset's choice."""

    global_score: GlobalScore | None = None
    """F1 of the overlap, or intersection over union of the unions."""
    merge_annotated: bool | None = None
    """Merge overlapping annotations before the global score."""
    merge_before_pairing: bool | None = None
    """Merge overlapping segments of both sides before the local score."""
    pairing: Pairing | None = None
    """Which prediction the local score compares with which annotation."""
    combine: Combination | None = None
    """How segment_matching is made of the global and the local score."""
    clip_to_duration: bool | None = None
    """Cut predictions and annotations at the video's true end, where it is known."""
    timestamp_tier: bool | None = None
    """`format` asks for cited timestamps (0.6 without); otherwise `timestamp` alone does."""
    citations: Citations | None = None
    """How timestamps are found in the reasoning."""
    epsilon: float | None = None
    """Added to the denominators of the global score."""


@dataclass(kw_only=True)
class RewardConfig:
    workers: int = 4
    preset: RewardPreset = RewardPreset.reference
    """Rules of the rewards (museg/rewards/rules.py)."""
    rules: RewardRulesConfig = field(default_factory=RewardRulesConfig)
    functions: list[str] = field(default_factory=lambda: ["format", "segment_matching"])
    """Rewards whose weighted sum GRPO maximises; `package.module:function` is one of your own."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight of a reward in the sum, where it isn't 1."""
    on_error: OnRewardError = OnRewardError.error
    """When a reward function raises: end the run, or score 0 and count it."""
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
    micro_batch_tokens: int = 16_384
    """Groups are packed into one forward up to so many tokens; a larger group has a forward of its own."""
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
    bucket_mib: int = 64
    """Parameters travel in buckets of about this size; never the whole model at once."""
    timeout_s: float = 600.0


@dataclass(kw_only=True)
class PipelineConfig:
    staleness: int = 0
    """Steps that generation may run ahead of the weights; 0 is strictly on-policy."""
    streaming: bool = True
    """Learn from a step's first groups while its others are still sampled; off: phase after phase."""
    prefetch_steps: int = 2
    """Steps whose videos are decoded ahead of use."""


@dataclass(kw_only=True)
class CheckpointConfig:
    every_steps: int = 100
    keep: int = 3
    """Newest checkpoints that stay; older ones are removed."""
    best: str | None = "eval/miou"
    """Key of metrics.jsonl whose highest value also keeps its checkpoint, where one is written at that step; null:
    none."""


@dataclass(kw_only=True)
class RecoveryConfig:
    """What a run gets over, and how fast it must."""

    max_restarts: int = 100
    """Workers that may be replaced, over all of the run, after they died or hung."""
    max_restarts_a_step: int = 8
    """The same between two finished steps."""
    snapshot_steps: int = 5
    """Steps between two copies of the learner's state in memory: so many are redone at most when a rank dies."""
    start_timeout_s: float = 900.0
    """Longest wait for workers to start, for the cluster's resources too."""
    grace_s: float = 30.0
    """After SIGTERM or SIGINT the run has written a checkpoint and ended within this time."""


@dataclass(kw_only=True)
class GuardsConfig:
    """Numbers that go wrong."""

    max_bad_steps: int = 3
    """Steps in a row with a loss, gradient or reward that isn't finite: each is skipped and dumped, one more ends the
    run."""
    max_logprob_gap: float | None = 0.1
    """A step whose parity/logprob_gap_mean is above ends the run: generator and learner no longer compute the same
    policy. Not watched where `pipeline.staleness` is above 0; null: never."""
    min_entropy_fraction: float = 0.2
    """Below this share of the entropy of the first steps a warning tells of its collapse."""


@dataclass(kw_only=True)
class EvalConfig:
    every_steps: int = 100
    samples: int | None = None
    """Evaluate on the first so many held-out samples while training (before and after: on all)."""
    max_tokens: int = 512
    blind: bool = True
    """Also score the same questions with the videos swapped among samples of similar length."""


@dataclass(kw_only=True)
class PhaseConfig:
    """A stretch of the run and what it changes; null leaves the run's own setting."""

    name: str = MISSING
    steps: int = MISSING
    train: str | None = None
    """JSON lines of this phase's samples (data.train)."""
    template: Template | None = None
    """Question template (data.template)."""
    functions: list[str] | None = None
    """Rewards (reward.functions)."""
    weights: dict[str, float] | None = None
    """Weights of the rewards (reward.weights)."""
    preset: RewardPreset | None = None
    """Rules of the rewards (reward.preset)."""
    lr: float | None = None
    """Peak learning rate (learner.lr)."""
    kl_beta: float | None = None
    """Weight of the KL penalty (grpo.kl_beta)."""
    kl_reference: KLReference = KLReference.phase_start
    """What the KL penalty holds on to: the weights at the start of this phase, or of the run."""
    restart: bool = True
    """Begin optimizer and schedule anew, as a new run from these weights would; otherwise both go on."""


@dataclass(kw_only=True)
class SFTConfig:
    """What `museg sft` needs beside model, data, video, learner and checkpoint."""

    steps: int = 400
    batch_size: int = 14
    """Samples of one step."""


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
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    data: DataConfig = field(default_factory=DataConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    guards: GuardsConfig = field(default_factory=GuardsConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    phases: list[PhaseConfig] = field(default_factory=list)
    """Phases of the run in order (museg/config/phases.py); `grpo.steps` is then their sum. None: a single phase."""
