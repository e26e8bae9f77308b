"""The authors' evaluation of grounding (src/eval_grounding.py): single segments and sets of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from museg.config.schema import RewardConfig
from museg.data.samples import Sample, Segment
from museg.errors import DataError
from museg.rewards.answers import answer_content
from museg.rewards.scoring import Scorer

THRESHOLDS = (0.1, 0.3, 0.5, 0.7)
"""IoU from which a segment counts as found."""

_NUMBER = re.compile(r"\d+\.*\d*")


def score_grounding(samples: Sequence[Sample], texts: Sequence[str]) -> dict[str, float]:
    """Metric → mean over all samples, whatever their task, of their completions' scores.

    `miou`: IoU of the first predicted segment with the first annotation; `recall@<t>`: share where it reaches t, and
    `recall` their mean over the thresholds (the authors' `tvg`). `f1@<t>`, `f1`: the same for all segments (`tal`).
    `segment_matching`, `format`: the training rewards under the reference preset, whatever the run's own. Raises
    DataError without samples, ValueError if the numbers of samples and texts differ.
    """
    if not samples:
        raise DataError("there are no samples to evaluate: data.eval must hold at least one")
    scorer = Scorer.from_config(RewardConfig())
    scores = [
        {
            **segment_scores(segments_in(answer_content(text) or ""), sample.solution),
            **training_rewards(scorer, text, sample),
        }
        for sample, text in zip(samples, texts, strict=True)
    ]
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def segments_in(content: str) -> list[Segment]:
    """The numbers of an answer in pairs, whatever stands between them.

    Empty if their count is odd or any pair has start >= end. Looser than the rewards' parsing: `10s to 20s` counts.
    """
    try:
        numbers = [float(number) for number in _NUMBER.findall(content)]
    except ValueError:
        return []
    segments = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or any(start >= end for start, end in segments):
        return []
    return segments


def segment_scores(predicted: Sequence[Segment], annotated: Sequence[Segment]) -> Mapping[str, float]:
    """Of one sample: `miou`, and `recall` and `f1` at each threshold and on average; all 0 without a prediction."""
    ious = temporal_iou(predicted, annotated)
    first = float(ious[0, 0]) if predicted else 0.0
    recalls = [float(first >= threshold) for threshold in THRESHOLDS]
    f1s = [detection_scores(ious, threshold)[2] for threshold in THRESHOLDS]
    return {
        "miou": first,
        **{f"recall@{threshold}": recall for threshold, recall in zip(THRESHOLDS, recalls, strict=True)},
        "recall": sum(recalls) / len(recalls),
        **{f"f1@{threshold}": f1 for threshold, f1 in zip(THRESHOLDS, f1s, strict=True)},
        "f1": sum(f1s) / len(f1s),
    }


def training_rewards(scorer: Scorer, text: str, sample: Sample) -> Mapping[str, float]:
    """Of one sample: the rewards that say how the trained-for quantity moves."""
    values = scorer.score(text, sample).values
    return {name: values[name] for name in ("segment_matching", "format")}


def detection_scores(ious: npt.NDArray[np.float64], threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 from the IoUs of predictions and annotations, `[N, M]`.

    A prediction is right, and an annotation found, if its best IoU reaches the threshold; one may serve several.
    """
    if ious.size == 0:
        return 0.0, 0.0, 0.0
    precision = float((ious.max(axis=1) >= threshold).mean())
    recall = float((ious.max(axis=0) >= threshold).mean())
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def temporal_iou(first: Sequence[Segment], second: Sequence[Segment]) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair, `[N, M]`."""
    starts, ends = np.asarray(first, dtype=np.float64).reshape(-1, 1, 2).transpose(2, 0, 1)
    other_starts, other_ends = np.asarray(second, dtype=np.float64).reshape(1, -1, 2).transpose(2, 0, 1)
    intersection = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0, None)
    union = (ends - starts) + (other_ends - other_starts) - intersection
    ious: npt.NDArray[np.float64] = intersection / union
    return ious
