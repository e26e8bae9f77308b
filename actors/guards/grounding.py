"""Reward without grounding: answers that are as good for another video."""

from __future__ import annotations

from collections.abc import Mapping

BLIND_SHARE = 0.8
"""Of mIoU: a blind score from there on says that the video isn't what the answers come from."""


def ungrounded(scores: Mapping[str, float], start: Mapping[str, float]) -> bool:
    """Whether the blind score is nearly the seeing one, and has grown since the start.

    Both are low in a model that has learned nothing; it is learning one answer for all questions that raises both.

    Args:
        scores: of an evaluation, `miou` and, with `eval.blind`, `blind/miou`.
        start: of the one before training.
    """
    if "blind/miou" not in scores or "blind/miou" not in start:
        return False
    blind = scores["blind/miou"]
    return blind > start["blind/miou"] and blind >= BLIND_SHARE * scores["miou"]
