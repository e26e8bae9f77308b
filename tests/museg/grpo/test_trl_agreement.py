"""The variants beside TRL's: `GRPOTrainer` computes the loss of the same tensors with its own code."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from trl import GRPOConfig, GRPOTrainer

from museg.config.choices import Aggregation, Variant
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import grpo_loss
from museg.grpo.ratios import importance_weights
from tests.museg.grpo.material import settings_of

NUM_COMPLETIONS, NUM_TOKENS, MAX_TOKENS = 4, 6, 5
LENGTHS = torch.tensor([6, 1, 3, 4])
MASK = torch.arange(NUM_TOKENS) < LENGTHS[:, None]
ADVANTAGES = torch.tensor([1.3, -0.7, 0.4, -1.0])
TOTALS = StepTotals(num_groups=1, num_completions=4, num_tokens=14)
CAP = 1.5


def logprobs_near(seed: int, spread: float) -> torch.Tensor:
    """All seeds share a centre, from which each token strays by about `spread` nats."""
    centre = -3 * torch.rand(NUM_COMPLETIONS, NUM_TOKENS, generator=torch.Generator().manual_seed(0))
    return centre + spread * torch.randn(NUM_COMPLETIONS, NUM_TOKENS, generator=torch.Generator().manual_seed(seed))


OLD, ENGINE, REFERENCE = logprobs_near(1, 0.2), logprobs_near(2, 0.4), logprobs_near(3, 0.5)


class LossOfTRL(GRPOTrainer):
    """TRL's trainer without what trains: its loss, over logprobs that are given, not made by a model's forward."""

    def __init__(self, args: GRPOConfig, *, importance_sampling: bool) -> None:
        self.args, self.model = args, SimpleNamespace(training=True)
        self.accelerator = Accelerator(cpu=True)
        self.loss_type, self.importance_sampling_level, self.beta = (
            args.loss_type,
            args.importance_sampling_level,
            args.beta,
        )
        self.epsilon_low, self.epsilon_high = args.epsilon, args.epsilon_high
        self.max_completion_length = args.max_completion_length
        self.use_vllm = self.vllm_importance_sampling_correction = importance_sampling
        self.aux_loss_enabled = self._entropy_bonus_enabled = False
        self.top_entropy_quantile, self.off_policy_mask_threshold = 1.0, None
        self.current_gradient_accumulation_steps = 1
        self._metrics = {"train": defaultdict(list)}

    def _get_per_token_logps_and_entropies(
        self, logprobs: torch.Tensor, *_: object, **__: object
    ) -> tuple[object, ...]:
        return logprobs, torch.zeros_like(logprobs), None

    def of(self, logprobs: torch.Tensor, old: torch.Tensor | None) -> torch.Tensor:
        prompts, completions = torch.zeros(NUM_COMPLETIONS, 1), torch.zeros(NUM_COMPLETIONS, NUM_TOKENS)
        held = logprobs.detach() if old is None else old
        inputs = {
            "prompt_ids": prompts,
            "prompt_mask": prompts,
            "completion_ids": completions,
            "completion_mask": MASK.int(),
            "advantages": ADVANTAGES,
            "old_per_token_logps": old,
            "ref_per_token_logps": REFERENCE,
            "num_items_in_batch": MASK.sum(),
            "importance_sampling_ratio": (held - ENGINE).exp().clamp(max=CAP),
        }
        return self._compute_loss(logprobs, inputs)

    def metric(self, name: str) -> float:
        return float(self._metrics["train"][name][-1])


def trl_loss(folder: Path, *, importance_sampling: bool = False, **settings: object) -> LossOfTRL:
    args = GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=MAX_TOKENS,
        use_bias_correction_kl=False,  # on by default: k3 times the ratio, as in DeepSeek-V3.2
        **settings,
    )
    return LossOfTRL(args, importance_sampling=importance_sampling)


# Ours beside theirs. Theirs always clips: by a bound that nothing reaches where ours doesn't.
FAR = 1e6
PAIRS = {
    "grpo": ({"variant": Variant.grpo}, {"loss_type": "grpo", "epsilon": FAR, "epsilon_high": FAR}),
    "ppo": ({"variant": Variant.ppo}, {"loss_type": "grpo", "epsilon": 0.2, "epsilon_high": 0.2}),
    "dapo": ({"variant": Variant.dapo}, {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28}),
    "bnpo": (
        {"variant": Variant.ppo, "aggregation": Aggregation.token_mean},
        {"loss_type": "bnpo", "epsilon": 0.2, "epsilon_high": 0.2},
    ),
    "dr_grpo": ({"variant": Variant.dr_grpo}, {"loss_type": "dr_grpo", "epsilon": 0.2, "epsilon_high": 0.2}),
    "gspo": (
        {"variant": Variant.gspo},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
    ),
}


@pytest.mark.parametrize("importance_sampling", [False, True], ids=["", "importance_sampling"])
@pytest.mark.parametrize("kl_beta", [0.0, 0.3], ids=["", "kl"])
@pytest.mark.parametrize("old", [None, OLD], ids=["first_update", "later_update"])
@pytest.mark.parametrize("name", PAIRS)
def test_loss_gradient_and_figures_are_trls(
    name: str, old: torch.Tensor | None, kl_beta: float, importance_sampling: bool, tmp_path: Path
) -> None:
    ours, theirs = PAIRS[name]
    trl = trl_loss(tmp_path, importance_sampling=importance_sampling, beta=kl_beta, **theirs)
    their_logprobs, our_logprobs = (logprobs_near(5, 0.2).requires_grad_() for _ in range(2))
    their_loss = trl.of(their_logprobs, old)
    their_loss.backward()
    result = grpo_loss(
        settings_of(**ours, kl_beta=kl_beta, importance_cap=CAP if importance_sampling else None),
        logprobs=our_logprobs,
        mask=MASK,
        advantages=ADVANTAGES,
        totals=TOTALS,
        old_logprobs=old,
        engine_logprobs=ENGINE,
        reference_logprobs=REFERENCE if kl_beta else None,
    )
    result.loss.backward()
    assert result.loss.item() == pytest.approx(their_loss.item(), abs=1e-6)
    assert torch.allclose(our_logprobs.grad, their_logprobs.grad, atol=1e-6)
    assert result.clip_fraction.item() == pytest.approx(trl.metric("clip_ratio/region_mean"))
    if old is not None and name != "grpo":
        assert 0 < result.clip_fraction.item() < 1
    assert torch.count_nonzero(our_logprobs.grad) > 0


def test_the_capped_weights_in_this_comparison_are_cut_for_some_tokens_and_not_for_others() -> None:
    weights = importance_weights(OLD, ENGINE, CAP)[MASK]
    assert 0 < (weights == CAP).sum() < len(weights)
