"""What is learned, and how: GRPO, rewards, evaluation, phases, supervised steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from museg.config.choices import (
    AdvantageScale,
    Aggregation,
    Citations,
    Combination,
    GlobalScore,
    KLEstimator,
    KLReference,
    OnRewardError,
    Pairing,
    RatioLevel,
    RewardPreset,
    Template,
    Variant,
    ZeroVariance,
)


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
    """The run begins with so many and always has so many."""
    max_workers: int | None = None
    """More join, up to so many, when the cluster has a place for them, and may leave again; null: none."""
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
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the nodes that workers may run on; none: any node."""
    timeout_s: float = 300.0
    """Longest wait for one video or one group's scores."""


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
