"""The workers of a run and what goes between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from museg.config.choices import Schedule, SyncBackend


@dataclass(kw_only=True)
class GenerationConfig:
    workers: int = 1
    """The run begins with so many and always has so many."""
    max_workers: int | None = None
    """More join, up to so many, when the cluster has a place for them, and may leave again; null: none."""
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
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the nodes that workers may run on, such as {museg.io/generation: host}; none: any node."""
    enforce_eager: bool = False
    """Skip graph compilation (always so on CPU)."""
    timeout_s: float = 1800.0
    """Longest wait for one batch of completions."""


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
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the nodes that ranks may run on; none: any node."""
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
