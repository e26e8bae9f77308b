"""TVG and EPM (one segment), TAL (all segments of an action), EVS (a summary), VHD (a moment)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from museg.data.samples import Segment
from museg.evaluation.et_bench.answers import answered_moment, answered_segments
from museg.evaluation.et_bench.overlap import THRESHOLDS, at_thresholds, pairwise_iou, rounded, shares_found
from museg.evaluation.et_bench.samples import EtBenchSample

SUMMARY_SECONDS = 1000
"""EVS compares whole seconds up to here."""


def score_single(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """TVG, EPM: IoU of the first answered segment; F1 is the share of samples that reach each threshold."""
    ious, failed = first_segment_ious(samples, answers)
    return {
        "Total": len(samples),
        "Failed": failed,
        "mIoU": rounded(sum(ious) / len(samples)),
        **at_thresholds("F1", shares_found(ious, len(samples)), mean="F1"),
    }


def score_all(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """TAL: F1 of the answered and the right segments by best IoU; one segment may serve several."""
    answered = [answered_segments(answer) for answer in answers]
    f1s = [
        _detection_f1s(pairwise_iou(sample.target, segments))
        for sample, segments in zip(samples, answered, strict=True)
        if segments
    ]
    totals = np.sum(f1s, axis=0) if f1s else np.zeros(len(THRESHOLDS))
    return {
        "Total": len(samples),
        "Failed": len(samples) - len(f1s),
        **at_thresholds("F1", (totals / len(samples)).tolist(), mean="F1"),
    }


def score_summaries(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """EVS: F1 over whole seconds; the mean is over the answers that hold a segment, as the benchmark has it."""
    answered = [answered_segments(answer) for answer in answers]
    f1s = [
        _overlap_f1(_seconds_of(sample.target), _seconds_of(segments))
        for sample, segments in zip(samples, answered, strict=True)
        if segments
    ]
    return {
        "Total": len(samples),
        "Failed": len(samples) - len(f1s),
        "F1": rounded(sum(f1s) / len(f1s)) if f1s else 0.0,
    }


def score_moments(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """VHD: share of answers whose moment lies in any annotator's highlight."""
    moments = [answered_moment(answer) for answer in answers]
    hits = sum(
        moment is not None and any(start <= moment <= end for start, end in sample.target)
        for sample, moment in zip(samples, moments, strict=True)
    )
    return {"Total": len(samples), "Failed": moments.count(None), "F1": rounded(hits / len(samples))}


def first_segment_ious(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> tuple[list[float], int]:
    """Best IoU of the first answered segment with a right one, per answer that holds one; and how many don't."""
    answered = [answered_segments(answer) for answer in answers]
    ious = [
        float(pairwise_iou(sample.target, segments[:1]).max())
        for sample, segments in zip(samples, answered, strict=True)
        if segments
    ]
    return ious, len(samples) - len(ious)


def _detection_f1s(ious: npt.NDArray[np.float32]) -> list[float]:
    """F1 at each threshold from IoUs of right and answered segments, `[N, M]`."""
    f1s = []
    for threshold in THRESHOLDS:
        found = ious >= np.float32(threshold)
        recall, precision = (float(found.any(axis=axis).mean(dtype=np.float32)) for axis in (1, 0))
        f1s.append(2 * precision * recall / (precision + recall) if found.any() else 0.0)
    return f1s


def _seconds_of(segments: Sequence[Segment]) -> npt.NDArray[np.bool_]:
    covered = np.zeros(SUMMARY_SECONDS, dtype=np.bool_)
    for start, end in segments:
        covered[round(min(start, SUMMARY_SECONDS)) : round(min(end, SUMMARY_SECONDS))] = True
    return covered


def _overlap_f1(right: npt.NDArray[np.bool_], answered: npt.NDArray[np.bool_]) -> float:
    both = int((right & answered).sum())
    return 2 * both / int(right.sum() + answered.sum()) if both else 0.0
