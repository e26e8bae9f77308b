"""Learning rate as a function of the step alone, so that nothing of it needs saving."""

from __future__ import annotations

from museg.config.choices import Schedule
from museg.config.schema import LearnerConfig


def learning_rate(config: LearnerConfig, step: int, num_steps: int) -> float:
    """Learning rate of one optimizer step.

    Warm-up climbs to `lr` on step `warmup_steps`. Then `constant` stays, and `linear` goes down by equal amounts, from
    `lr` to one amount above `final_lr_fraction * lr` on the run's last step, so that no step is spent at 0. Without
    warm-up it is the authors' schedule, Hugging Face's `linear`.

    Args:
        config: the learner's part of the configuration.
        step: counted from 1.
        num_steps: steps of the run; later steps stay at the final value.
    """
    done = step - 1
    if done < config.warmup_steps:
        return config.lr * step / config.warmup_steps
    if config.schedule is Schedule.constant:
        return config.lr
    remaining = max(0, num_steps - done) / max(1, num_steps - config.warmup_steps)
    return config.lr * (config.final_lr_fraction + (1 - config.final_lr_fraction) * remaining)
