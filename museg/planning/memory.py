"""Memory of one GPU, by role, in bytes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from museg.config.choices import DType
from museg.planning.gpus import GPU
from museg.planning.operations import kv_bytes_per_token
from museg.planning.workload import Workload
from museg.policy.scoring import CHUNK_ROWS

_LOGIT_COPIES = 3
"""Logits, their exponentials and their gradients, in float32."""
_LIVE_PARAMETERS = 1_000_000_000
"""ZeRO-3 gathers up to so many at once (DeepSpeed's stage3_max_live_parameters)."""
_REDUCE_BUCKET = 50_000_000
_RUNTIME = 2e9
"""CUDA's context, NCCL's buffers and what the allocator can't use. Assumed."""
_ENGINE_RESERVE = 4e9
"""vLLM's activations, encoder cache and graphs. Assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerMemory:
    """Of one learner rank."""

    weights: float
    gradients: float
    optimizer: float
    """Moments and the float32 copy of the weights."""
    tower: float
    """A frozen vision tower, whole on every rank."""
    reference: float
    gathered: float
    """Weights whole for the layers at hand (ZeRO-3), and gradients on their way."""
    activations: float
    """What forward keeps for backward, of the largest micro-batch."""
    working: float
    """One layer's or block's values and their gradients."""
    logits: float
    runtime: float

    @property
    def total(self) -> float:
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorMemory:
    """Of one GPU of a generation worker."""

    weights: float
    reserve: float
    """Activations, graphs, and the encoder's cache."""
    kv_cache: float
    """What is left of the engine's share of the GPU; 0 or less: it can't start."""
    kv_group: float
    """That one group of the longest prompt and longest completions takes."""
    kv_typical_group: float

    @property
    def total(self) -> float:
        return self.weights + self.reserve + max(self.kv_cache, 0.0)

    @property
    def groups_at_once(self) -> float:
        """Typical groups that the cache holds."""
        return max(self.kv_cache, 0.0) / self.kv_typical_group


def learner_memory(work: Workload) -> LearnerMemory:
    """What one rank holds at its largest moment, the backward of a micro-batch of typical groups."""
    learner, each, model = work.config.learner, work.bytes_per_value, work.model
    frozen = work.config.policy.freeze_vision
    trained = model.text.parameters if frozen else model.parameters
    weights, gradients, optimizer = (
        trained * size / (learner.ranks if learner.zero_stage >= stage else 1)
        for size, stage in ((each, 3), (4, 2), (_optimizer_bytes(work), 1))
    )
    reference = trained * each / (learner.ranks if learner.zero_stage == 3 else 1)
    live = min(_LIVE_PARAMETERS, trained) * each if learner.zero_stage == 3 else 0
    activations, working = _activations(work)
    return LearnerMemory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        tower=model.vision.parameters * each if frozen else 0.0,
        reference=reference if work.has_reference else 0.0,
        gathered=live + min(_REDUCE_BUCKET, trained) * (each + 4),
        activations=activations,
        working=working,
        logits=_LOGIT_COPIES * 4.0 * CHUNK_ROWS * model.text.vocabulary,
        runtime=_RUNTIME,
    )


def generator_memory(work: Workload, gpu: GPU) -> GeneratorMemory:
    """What one GPU of a generation worker holds. Heads and weights are shared by the GPUs of a worker."""
    generation, group, text = work.config.generation, work.group, work.model.text
    parallel = generation.tensor_parallel_size
    per_token = kv_bytes_per_token(text, work.bytes_per_value) / min(parallel, text.kv_heads)
    vision = 0 if work.config.policy.freeze_vision else work.model.vision.parameters
    weights = (text.parameters + vision) * work.bytes_per_value / parallel
    longest = max(min(generation.max_tokens, generation.max_model_len - work.longest_prompt), 1)
    return GeneratorMemory(
        weights=weights,
        reserve=_ENGINE_RESERVE,
        kv_cache=generation.gpu_memory_utilization * gpu.memory_gb * 1e9 - weights - _ENGINE_RESERVE,
        kv_group=per_token * (work.longest_prompt + group.group_size * longest),
        kv_typical_group=per_token * group.tokens,
    )


def _optimizer_bytes(work: Workload) -> int:
    """Of a parameter: AdamW's two moments, and the float32 weights where they aren't the weights themselves (DeepSpeed
    keeps its own from stage 1 on)."""
    copied = work.config.model.dtype is DType.bfloat16 or work.config.learner.zero_stage > 0
    return 12 if copied else 8


def _activations(work: Workload) -> tuple[float, float]:
    """Kept over the forward, and needed while one layer's backward runs.

    With checkpointing a layer keeps its input. Without, what autograd saves: counted on this code as 4 intermediate + 8
    hidden + 2 query + 2 key values a token (norms in float32 count twice), and 4 intermediate + 15 hidden a patch.
    """
    text, vision, each = work.model.text, work.model.vision, work.bytes_per_value
    tokens = work.groups_per_micro_batch * work.group.tokens
    patches = 0 if work.config.policy.freeze_vision else work.groups_per_micro_batch * work.group.video.patches
    per_token = 4 * text.intermediate + 8 * text.hidden + 2 * (text.heads + text.kv_heads) * text.head_dim
    per_patch = 4 * vision.intermediate + 15 * vision.hidden
    working = 2.0 * each * max(tokens * per_token, patches * per_patch)
    if work.config.learner.gradient_checkpointing:
        kept = tokens * text.layers * text.hidden + patches * vision.blocks * vision.hidden
    else:
        kept = tokens * text.layers * per_token + patches * vision.blocks * per_patch
    return float(each * kept), working
