"""The whole configuration, of the rooms in museg/config/keys/: one default and one sentence a knob."""

from __future__ import annotations

from dataclasses import dataclass, field

from museg.config.keys.inputs import DataConfig, ModelConfig, PolicyConfig, VideoConfig
from museg.config.keys.method import EvalConfig, GRPOConfig, PhaseConfig, RewardConfig, RewardRulesConfig, SFTConfig
from museg.config.keys.reliability import CheckpointConfig, GuardsConfig, RecoveryConfig, RunConfig
from museg.config.keys.service import GenerationConfig, LearnerConfig, PipelineConfig, SyncConfig
from museg.config.keys.telemetry import MlflowConfig, TelemetryConfig, WandbConfig

__all__ = [
    "CheckpointConfig",
    "Config",
    "DataConfig",
    "EvalConfig",
    "GRPOConfig",
    "GenerationConfig",
    "GuardsConfig",
    "LearnerConfig",
    "MlflowConfig",
    "ModelConfig",
    "PhaseConfig",
    "PipelineConfig",
    "PolicyConfig",
    "RecoveryConfig",
    "RewardConfig",
    "RewardRulesConfig",
    "RunConfig",
    "SFTConfig",
    "SyncConfig",
    "TelemetryConfig",
    "VideoConfig",
    "WandbConfig",
]


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
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    phases: list[PhaseConfig] = field(default_factory=list)
    """Phases of the run in order (museg/config/phases.py); `grpo.steps` is then their sum. None: a single phase."""
