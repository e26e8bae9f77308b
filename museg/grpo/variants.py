"""The losses of the literature by name, and the settings that a configuration ends up with."""

from __future__ import annotations

from dataclasses import dataclass

from museg.config.choices import AdvantageScale, Aggregation, KLEstimator, RatioLevel, Variant
from museg.config.schema import Config

_STALE_IMPORTANCE_CAP = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Everything that decides a loss, with nothing left to a variant."""

    aggregation: Aggregation
    ratio: RatioLevel
    clip_low: float | None
    """The ratio is clipped below `1 - clip_low`; None: not at all, and `clip_high` is None too."""
    clip_high: float | None
    advantage_scale: AdvantageScale
    kl_beta: float
    """0 leaves the KL term out, and needs no reference."""
    kl_estimator: KLEstimator
    importance_cap: float | None
    """Largest weight of truncated importance sampling; None: no weights."""
    max_tokens: int
    """Longest completion, the denominator of Aggregation.constant."""

    @property
    def clips(self) -> bool:
        return self.clip_low is not None and self.clip_high is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preset:
    aggregation: Aggregation = Aggregation.sequence_mean
    ratio: RatioLevel = RatioLevel.token
    clip_low: float | None = None
    clip_high: float | None = None
    advantage_scale: AdvantageScale = AdvantageScale.std


_PRESETS = {
    # MUSEG's loss (arXiv 2505.20715): DeepSeekMath (arXiv 2402.03300) equation 3 with one update a rollout, unclipped.
    Variant.grpo: _Preset(),
    # The same equation clipped as in PPO (arXiv 1707.06347) equation 7, for several updates a rollout.
    Variant.ppo: _Preset(clip_low=0.2, clip_high=0.2),
    # DAPO (arXiv 2503.14476) equation 8: all tokens alike, and more room upwards. The paper has no KL term.
    Variant.dapo: _Preset(aggregation=Aggregation.token_mean, clip_low=0.2, clip_high=0.28),
    # Dr. GRPO (arXiv 2503.20783) section 3.2: neither a completion's length nor a group's deviation is divided by.
    Variant.dr_grpo: _Preset(
        aggregation=Aggregation.constant, clip_low=0.2, clip_high=0.2, advantage_scale=AdvantageScale.none
    ),
    # GSPO (arXiv 2507.18071) equation 5, its section 5.1 for the bounds: one ratio a completion.
    Variant.gspo: _Preset(ratio=RatioLevel.sequence, clip_low=3e-4, clip_high=4e-4),
}


def loss_settings(config: Config) -> LossSettings:
    """`grpo.variant`, with the keys that the configuration sets itself in place of the variant's."""
    grpo, preset = config.grpo, _PRESETS[config.grpo.variant]
    return LossSettings(
        aggregation=preset.aggregation if grpo.aggregation is None else grpo.aggregation,
        ratio=preset.ratio if grpo.ratio is None else grpo.ratio,
        clip_low=preset.clip_low if grpo.clip_low is None else grpo.clip_low,
        clip_high=preset.clip_high if grpo.clip_high is None else grpo.clip_high,
        advantage_scale=preset.advantage_scale if grpo.advantage_scale is None else grpo.advantage_scale,
        kl_beta=0.0 if grpo.kl_estimator is KLEstimator.none else grpo.kl_beta,
        kl_estimator=grpo.kl_estimator,
        importance_cap=_importance_cap(config),
        max_tokens=config.generation.max_tokens,
    )


def _importance_cap(config: Config) -> float | None:
    """Completions of older weights are always weighted."""
    if config.grpo.importance_cap is None and config.pipeline.staleness > 0:
        return _STALE_IMPORTANCE_CAP
    return config.grpo.importance_cap
