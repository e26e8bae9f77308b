"""Reward for how well each predicted segment fits the annotated one of the same rank."""

from __future__ import annotations

from collections.abc import Sequence

from museg.data.samples import Segment


def local_matching(predicted: Sequence[Segment], annotated: Sequence[Segment]) -> float:
    """Mean of (1 + gIoU) / 2 over pairs in emission order (authors' `reward_local_matching`).

    The mean is over the larger number of the two; segments without a partner score 0. (The authors pair them with a
    dummy at 1e9 seconds, which is worth less than 1e-6 and can be answered.)
    """
    scores = [(1 + generalized_iou(*pair)) / 2 for pair in zip(predicted, annotated, strict=False)]
    return sum(scores) / max(len(predicted), len(annotated), 1)


def generalized_iou(first: Segment, second: Segment) -> float:
    """Intersection over union less the gap's share of the enclosing segment, in (-1, 1] (Rezatofighi et al. 2019)."""
    intersection = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    union = first[1] - first[0] + second[1] - second[0] - intersection
    enclosure = max(first[1], second[1]) - min(first[0], second[0])
    return intersection / union - (enclosure - union) / enclosure
