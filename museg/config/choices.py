"""The named alternatives that the configuration offers."""

from __future__ import annotations

from enum import StrEnum


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
    """The authors' code."""
    paper = "paper"
    """The formulas of arXiv 2505.20715."""
    robust = "robust"
    """Always within [0, 1]; 1 for the annotation alone, in any order."""


class GlobalScore(StrEnum):
    f1 = "f1"
    iou = "iou"


class Pairing(StrEnum):
    emission = "emission"
    """The i-th prediction with the i-th annotation."""
    start = "start"
    """The same after sorting both by start."""
    assignment = "assignment"
    """The pairs with the highest sum of scores."""


class Combination(StrEnum):
    sum = "sum"
    mean = "mean"


class Citations(StrEnum):
    text = "text"
    """A number is cited where its digits match as a regular expression."""
    number = "number"
    """A number is cited where an equal number stands."""


class OnRewardError(StrEnum):
    error = "error"
    zero = "zero"


class Variant(StrEnum):
    """Losses of the literature: each fills the keys of `grpo` that are left null (museg/grpo/variants.py)."""

    grpo = "grpo"
    ppo = "ppo"
    dapo = "dapo"
    dr_grpo = "dr_grpo"
    gspo = "gspo"


class Aggregation(StrEnum):
    sequence_mean = "sequence_mean"
    """Mean over a completion's tokens, then over completions (GRPO, GSPO)."""
    token_mean = "token_mean"
    """Mean over all tokens of the step (DAPO)."""
    constant = "constant"
    """Sum over tokens divided by completions × generation.max_tokens (Dr. GRPO)."""


class RatioLevel(StrEnum):
    token = "token"
    sequence = "sequence"


class AdvantageScale(StrEnum):
    std = "std"
    none = "none"


class KLEstimator(StrEnum):
    k1 = "k1"
    k2 = "k2"
    k3 = "k3"
    none = "none"


class ZeroVariance(StrEnum):
    keep = "keep"
    skip = "skip"
    """Leave the group out of the step's mean."""
    resample = "resample"
    """Put the group of another prompt in its place."""


class KLReference(StrEnum):
    phase_start = "phase_start"
    run_start = "run_start"


class SyncBackend(StrEnum):
    auto = "auto"
    object_store = "object_store"
    nccl = "nccl"
