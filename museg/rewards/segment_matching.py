"""Reward for a whole answer: what its segments cover together, and how well each of them fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from museg.config.choices import Combination, GlobalScore
from museg.data.samples import Segment
from museg.rewards.global_matching import global_f1, global_iou, merged_segments
from museg.rewards.local_matching import local_matching
from museg.rewards.rules import RewardRules

BELOW_ONE = math.nextafter(1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentMatch:
    """The three matching rewards of one answer."""

    globally: float
    locally: float
    combined: float


Sides = tuple[Sequence[Segment], Sequence[Segment], Sequence[Segment]]
"""Predictions and annotations as they are compared, and the predictions in no part of the video: these earn nothing,
and count."""


def match_segments(
    predicted: Sequence[Segment], annotated: Sequence[Segment], rules: RewardRules, end_s: float | None = None
) -> SegmentMatch:
    """The matching rewards by `rules`; `end_s` is the video's true duration, where it is known.

    Under `robust` each of the three is in [0, 1], depends only on which time is answered and which is annotated, and is
    1 for the annotated time alone. With `clip_to_duration` there is no time after the video's end: a prediction that
    runs over it is cut there, one that begins there earns 0 and counts as wrong, with its length in the global score
    and as one segment more in the local one. Where an annotation begins after the end, the duration can't be true, and
    nothing is cut.
    """
    end_s = end_s if rules.clip_to_duration else None
    union = merged_segments(predicted)
    annotated_union = merged_segments(annotated) if rules.merge_annotated or rules.merge_before_pairing else annotated
    covered = _sides(union, annotated_union if rules.merge_annotated else annotated, end_s)
    compared = (union, annotated_union) if rules.merge_before_pairing else (predicted, annotated)
    paired = _sides(*compared, end_s)
    globally = _global_score(covered, rules)
    locally = _local_score(paired, rules)
    combined = globally + locally if rules.combine is Combination.sum else (globally + locally) / 2
    return SegmentMatch(globally=globally, locally=locally, combined=combined)


def _sides(predicted: Sequence[Segment], annotated: Sequence[Segment], end_s: float | None) -> Sides:
    if end_s is None or any(start >= end_s for start, _ in annotated):
        return predicted, annotated, ()
    return (
        [(start, min(end, end_s)) for start, end in predicted if start < end_s],
        [(start, min(end, end_s)) for start, end in annotated],
        [segment for segment in predicted if segment[0] >= end_s],
    )


def _global_score(sides: Sides, rules: RewardRules) -> float:
    predicted, annotated, outside = sides
    score = global_f1 if rules.global_score is GlobalScore.f1 else global_iou
    value = score([*predicted, *outside] if outside else predicted, annotated, rules.epsilon)
    return min(value, _bound(sides)) if rules.merge_annotated else value


def _local_score(sides: Sides, rules: RewardRules) -> float:
    predicted, annotated, outside = sides
    value = local_matching(predicted, annotated, rules.pairing, len(outside))
    return min(value, _bound(sides)) if rules.merge_before_pairing else value


def _bound(sides: Sides) -> float:
    """What a score of sets of time may reach: those that differ stay below 1, however the score is rounded."""
    predicted, annotated, outside = sides
    return 1.0 if not outside and list(predicted) == list(annotated) else BELOW_ONE
