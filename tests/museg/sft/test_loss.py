from __future__ import annotations

import pytest
import torch

from museg.sft.loss import supervised_loss


def test_tokens_are_averaged_within_a_target_and_then_targets() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -6.0], [-4.0, -99.0, -99.0]], requires_grad=True)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    loss = supervised_loss(logprobs, mask)
    assert loss.item() == pytest.approx((3.0 + 4.0) / 2)
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [pytest.approx([-1 / 6] * 3), [-1 / 2, 0.0, 0.0]]
