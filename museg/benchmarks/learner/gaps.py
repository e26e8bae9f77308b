"""How far apart two ways' results are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch

Gradients = Mapping[str, torch.Tensor]
"""By parameter name, on the CPU."""


def take_gradients(model: torch.nn.Module) -> Gradients:
    """The model's gradients, which the next step won't touch: it starts from none."""
    return {name: parameter.grad.cpu() for name, parameter in model.named_parameters() if parameter.grad is not None}


def gradient_gap(gradients: Gradients, reference: Gradients) -> float:
    """Relative: the largest over layers, tower blocks and the rest, of |difference| / |reference|, in L2 norm.

    By block rather than by tensor, since some tensors have no gradient but rounding: softmax doesn't feel a key's bias.

    Raises:
        ValueError: one way reaches other parameters than the other.
    """
    if gradients.keys() != reference.keys():
        raise ValueError(f"gradients of one way only: {sorted(gradients.keys() ^ reference.keys())}")
    squares: defaultdict[str, list[torch.Tensor]] = defaultdict(lambda: [torch.zeros(()), torch.zeros(())])
    for name, expected in reference.items():
        block = squares[_block(name)]
        block[0] += (gradients[name].float() - expected.float()).square().sum()
        block[1] += expected.float().square().sum()
    return max(float((difference / norm).sqrt()) for difference, norm in squares.values())


def _block(name: str) -> str:
    """`model.language_model.layers.0` of a parameter in that layer; outside of layers, the parameter itself."""
    numbered = re.match(r".*?\.\d+(?=\.)", name)
    return numbered.group() if numbered else name
