"""Reward for how well each predicted segment fits the annotated one that it is paired with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from museg.config.choices import Pairing
from museg.data.samples import Segment


def local_matching(
    predicted: Sequence[Segment], annotated: Sequence[Segment], pairing: Pairing, num_worthless: int = 0
) -> float:
    """Mean of (1 + gIoU) / 2 over pairs (authors' `reward_local_matching`), in [0, 1].

    The mean is over the larger number of the two; segments without a partner score 0. (The authors pair them with a
    dummy at 1e9 seconds, which is worth less than 1e-6 and can be answered.) `num_worthless` predictions more count in
    that number and are paired with nothing.
    """
    if pairing is Pairing.assignment:
        scores = best_scores(predicted, annotated)
    else:
        if pairing is Pairing.start:
            predicted, annotated = sorted(predicted), sorted(annotated)
        pairs = zip(predicted, annotated, strict=False)
        scores = [(1 + generalized_iou(answered, right)) / 2 for answered, right in pairs]
    num_answered, num_annotated = len(predicted) + num_worthless, len(annotated)
    mean = sum(scores) / ((num_answered if num_answered > num_annotated else num_annotated) or 1)
    return mean if mean < 1.0 else 1.0


def best_scores(predicted: Sequence[Segment], annotated: Sequence[Segment]) -> list[float]:
    """The scores of the one-to-one pairs with the highest sum, ascending."""
    if len(predicted) <= 1 and len(annotated) <= 1:
        return [(1 + generalized_iou(*pair)) / 2 for pair in zip(predicted, annotated, strict=False)]
    from scipy.optimize import linear_sum_assignment

    scores = (1 + generalized_ious(predicted, annotated)) / 2
    chosen: list[float] = scores[linear_sum_assignment(scores, maximize=True)].tolist()
    return sorted(chosen)


def generalized_iou(first: Segment, second: Segment) -> float:
    """Intersection over union less the gap's share of the enclosing segment, in (-1, 1] (Rezatofighi et al. 2019)."""
    (start, end), (other_start, other_end) = first, second
    # Comparisons: every completion has pairs, and `min` and `max` would cost more than all the rest.
    earlier_end, later_end = (end, other_end) if end < other_end else (other_end, end)
    earlier_start, later_start = (start, other_start) if start < other_start else (other_start, start)
    intersection = earlier_end - later_start if earlier_end > later_start else 0.0
    union = end - start + other_end - other_start - intersection
    enclosure = later_end - earlier_start
    return intersection / union - (enclosure - union) / enclosure


def generalized_ious(first: Sequence[Segment], second: Sequence[Segment]) -> npt.NDArray[np.float64]:
    """`generalized_iou` of every pair, `[N, M]`."""
    starts, ends = np.asarray(first, dtype=np.float64).reshape(-1, 1, 2).transpose(2, 0, 1)
    other_starts, other_ends = np.asarray(second, dtype=np.float64).reshape(1, -1, 2).transpose(2, 0, 1)
    intersection = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0, None)
    union = ends - starts + other_ends - other_starts - intersection
    enclosure = np.maximum(ends, other_ends) - np.minimum(starts, other_starts)
    ious: npt.NDArray[np.float64] = intersection / union - (enclosure - union) / enclosure
    return ious
