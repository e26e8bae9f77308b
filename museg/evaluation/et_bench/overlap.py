"""Overlap of segments in single precision, as the benchmark computes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from museg.data.samples import Segment

THRESHOLDS = (0.1, 0.3, 0.5, 0.7)
"""IoU from which a segment counts as found."""


def pairwise_iou(first: Sequence[Segment], second: Sequence[Segment]) -> npt.NDArray[np.float32]:
    """Intersection over union of every pair, `[N, M]`; 0 where both are empty or too long for a number.

    Single precision decides at the thresholds: 0-7 and 0-10 overlap by 0.7, which is below 0.7 in a comparison of the
    rounded value with the double (`tvg`, `tem`, `gvq`) and equal to it among singles (`tal`).
    """
    starts, ends = np.asarray(first, dtype=np.float32).reshape(-1, 1, 2).transpose(2, 0, 1)
    other_starts, other_ends = np.asarray(second, dtype=np.float32).reshape(1, -1, 2).transpose(2, 0, 1)
    with np.errstate(all="ignore"):
        intersection = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0, None)
        union = (ends - starts) + (other_ends - other_starts) - intersection
        ious: npt.NDArray[np.float32] = np.nan_to_num(intersection / union, nan=0.0, posinf=0.0, neginf=0.0)
    return ious


def shares_found(ious: Sequence[float], total: int) -> list[float]:
    """At each threshold the share of `total` samples whose IoU reaches it."""
    return [sum(iou >= threshold for iou in ious) / total for threshold in THRESHOLDS]


def rounded(value: float) -> float:
    """A score with the five decimals of the benchmark's tables."""
    return round(float(value), 5)


def at_thresholds(name: str, values: Sequence[float], *, mean: str) -> dict[str, float]:
    """`<name>@0.1` … `<name>@0.7` and their mean under its own name."""
    return {
        **{f"{name}@{threshold}": rounded(value) for threshold, value in zip(THRESHOLDS, values, strict=True)},
        mean: rounded(sum(values) / len(values)),
    }
