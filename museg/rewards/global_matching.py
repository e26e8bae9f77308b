"""Reward for how well all predicted segments together cover the annotated time."""

from __future__ import annotations

from collections.abc import Sequence

from museg.data.samples import Segment


def global_f1(predicted: Sequence[Segment], annotated: Sequence[Segment], epsilon: float) -> float:
    """F1 of the overlap against the predicted and the annotated length (authors' `reward_global_matching`).

    Predictions are disjoint; annotations needn't be, and nested ones are counted twice, so that the value may exceed 1.
    `epsilon` is added to each denominator; 0 / 0 is 0.
    """
    overlap = overlap_length(predicted, annotated)
    precision = _ratio(overlap, total_length(predicted) + epsilon)
    recall = _ratio(overlap, total_length(annotated) + epsilon)
    return _ratio(2 * precision * recall, precision + recall + epsilon)


def global_iou(predicted: Sequence[Segment], annotated: Sequence[Segment], epsilon: float) -> float:
    """Intersection over union of two sets of disjoint segments (arXiv 2505.20715, r_G)."""
    overlap = overlap_length(predicted, annotated)
    return _ratio(overlap, total_length(predicted) + total_length(annotated) - overlap + epsilon)


def merged_segments(segments: Sequence[Segment]) -> list[Segment]:
    """The union as disjoint segments by start; touching ones become one."""
    if len(segments) < 2:
        return list(segments)
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def total_length(segments: Sequence[Segment]) -> float:
    return sum([end - start for start, end in segments])


def overlap_length(predicted: Sequence[Segment], annotated: Sequence[Segment]) -> float:
    """Of every pair, added."""
    # Comparisons: `min` and `max` would cost more than all the rest.
    return sum(
        [
            (end if end < annotated_end else annotated_end) - (start if start > annotated_start else annotated_start)
            for annotated_start, annotated_end in annotated
            for start, end in predicted
            if start < annotated_end and annotated_start < end
        ]
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
