"""Two completions, of three tokens and of one, and loss settings by name."""

from __future__ import annotations

import torch

from museg.config.choices import Variant
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from museg.grpo.variants import LossSettings, loss_settings

MASK = torch.tensor([[True, True, True], [True, False, False]])
ADVANTAGES = torch.tensor([0.8, -1.2], dtype=torch.float64)
TOTALS = StepTotals(num_groups=1, num_completions=2, num_tokens=4)


def some_logprobs(seed: int) -> torch.Tensor:
    return -3 * torch.rand(2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def settings_of(variant: Variant, **keys: object) -> LossSettings:
    """A variant's settings without a KL term, completions of at most five tokens, and the keys of `grpo` given."""
    config = Config()
    config.grpo.variant, config.grpo.kl_beta, config.generation.max_tokens = variant, 0.0, 5
    for key, value in keys.items():
        setattr(config.grpo, key, value)
    return loss_settings(config)
