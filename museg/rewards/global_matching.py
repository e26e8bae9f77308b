"""Reward for how well all predicted segments together cover the annotated time."""

from __future__ import annotations

from collections.abc import Sequence

from museg.data.samples import Segment

EPSILON = 1e-6
"""Added to each denominator by the authors."""


def global_matching(predicted: Sequence[Segment], annotated: Sequence[Segment]) -> float:
    """F1 of the overlap against the predicted and the annotated length (authors' `reward_global_matching`).

    Predictions are merged first (touching ones too); annotations aren't, so nested ones are counted twice and the value
    may exceed 1.
    """
    merged = merged_segments(predicted)
    overlap = sum(
        max(0.0, min(end, annotated_end) - max(start, annotated_start))
        for annotated_start, annotated_end in annotated
        for start, end in merged
    )
    precision = overlap / (total_length(merged) + EPSILON)
    recall = overlap / (total_length(annotated) + EPSILON)
    return 2 * precision * recall / (precision + recall + EPSILON)


def merged_segments(segments: Sequence[Segment]) -> list[Segment]:
    """The union as disjoint segments by start; touching ones become one."""
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def total_length(segments: Sequence[Segment]) -> float:
    return sum(end - start for start, end in segments)
