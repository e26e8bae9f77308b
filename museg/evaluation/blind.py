"""What grounding scores are worth above: the same questions on other videos, and the best answer given blindly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from museg.data.samples import Sample, Segment
from museg.errors import DataError
from museg.evaluation.grounding import THRESHOLDS

MAX_CANDIDATES = 128
"""Starts, and ends, that a constant answer is chosen from."""
MAX_SET_CANDIDATES = 48
"""The same where each is compared with every annotation."""


def swapped_videos(samples: Sequence[Sample]) -> list[int]:
    """For each sample the index of the sample whose video it is shown in the blind score.

    Videos are sorted by duration (unknown ones last) and neighbours trade places, three of them where one would be
    left over. So nobody is shown its own video, nor one much longer or shorter; questions about one video are all shown
    the same other one, and with one question a video the result is a permutation. The same samples give the same
    result. With a single video there is nothing to trade: everybody is shown its own, and the score isn't blind.
    """
    samples_of_video = defaultdict(list)
    for index, sample in enumerate(samples):
        samples_of_video[sample.video].append(index)
    shown_instead = _traded(_by_duration(samples))
    swapped = [0] * len(samples)
    for video, own in samples_of_video.items():
        others = samples_of_video[shown_instead[video]]
        for rank, index in enumerate(own):
            swapped[index] = others[rank % len(others)]
    return swapped


class AnswerUnit(StrEnum):
    """What a constant answer's numbers are in."""

    seconds = "s"
    durations = "of the duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantAnswer:
    """One answer given to every question, and what it earns."""

    segment: Segment
    unit: AnswerUnit
    miou: float
    """Mean IoU with the first annotation."""

    def given_to(self, sample: Sample) -> str:
        """The content of the answer tag: `start-end` in seconds of the sample's video.

        Raises DataError if it is in shares of a duration that isn't known.
        """
        if self.unit is AnswerUnit.seconds:
            scale = 1.0
        elif sample.duration_s is not None:
            scale = sample.duration_s
        else:
            raise DataError(f"sample {sample.idx}: its duration isn't known, which this constant answer needs")
        start, end = self.segment
        return f"{start * scale:.6f}-{end * scale:.6f}"

    def __str__(self) -> str:
        start, end = self.segment
        if self.unit is AnswerUnit.seconds:
            return f"{start:.1f} to {end:.1f} s"
        return f"{start:.0%} to {end:.0%} of the duration"


def best_constant_answer(samples: Sequence[Sample]) -> ConstantAnswer:
    """The constant answer with the best mean IoU with the first annotations, in seconds or as shares of the duration.

    Shares are tried where every duration is known. Between two annotated starts (or ends) the mean IoU is convex in the
    answer's start (or end), so the best answer starts and ends where annotations do: the search is over these, or over
    128 quantiles of them if there are more. Raises DataError without samples.
    """
    if not samples:
        raise DataError("there are no samples: a constant answer needs at least one")
    first = np.asarray([sample.solution[0] for sample in samples], dtype=np.float64)
    answers = [_best_segment(first, AnswerUnit.seconds)]
    durations = np.asarray([sample.duration_s or np.nan for sample in samples], dtype=np.float64)
    if np.isfinite(durations).all():
        answers.append(_best_segment(first / durations[:, None], AnswerUnit.durations))
    return max(answers, key=lambda answer: answer.miou)


def best_constant_answer_for_all_segments(samples: Sequence[Sample]) -> ConstantAnswer:
    """The single segment in seconds with the best mean `f1` (museg/evaluation/grounding.py), whose answers are sets.

    It starts and ends where annotations do: at one of 48 quantiles of theirs if there are more. Raises DataError
    without samples.
    """
    if not samples:
        raise DataError("there are no samples: a constant answer needs at least one")
    annotated = np.asarray([segment for sample in samples for segment in sample.solution], dtype=np.float64)
    sizes = np.asarray([len(sample.solution) for sample in samples])
    firsts = np.concatenate([[0], sizes.cumsum()[:-1]])
    starts, ends = annotated.T
    best, best_f1 = (0.0, 0.0), -1.0
    for start in _candidates(starts, MAX_SET_CANDIDATES):
        later_ends = [end for end in _candidates(ends, MAX_SET_CANDIDATES) if end > start]
        ious = _ious(start, np.asarray(later_ends)[:, None], starts, ends)
        # A single prediction is right or wrong: F1 of recall r is 2r / (1 + r), and 0 where nothing is found.
        recalls = [np.add.reduceat(ious >= threshold, firsts, axis=1, dtype=float) / sizes for threshold in THRESHOLDS]
        f1s = np.mean([2 * recall / (1 + recall) for recall in recalls], axis=(0, 2))
        if len(f1s) and f1s.max() > best_f1:
            best, best_f1 = (float(start), float(later_ends[int(f1s.argmax())])), float(f1s.max())
    miou = _ious(best[0], np.asarray(best[1]), starts[firsts], ends[firsts]).mean()
    return ConstantAnswer(segment=best, unit=AnswerUnit.seconds, miou=float(miou))


def _by_duration(samples: Sequence[Sample]) -> list[str]:
    durations: dict[str, float] = {}
    for sample in samples:
        known = sample.duration_s if sample.duration_s is not None else np.inf
        durations[sample.video] = min(known, durations.get(sample.video, np.inf))
    return sorted(durations, key=lambda video: (durations[video], video))


def _traded(videos: Sequence[str]) -> dict[str, str]:
    traded: dict[str, str] = {}
    start = 0
    while start < len(videos):
        size = 3 if len(videos) - start == 3 else 2
        circle = videos[start : start + size]
        traded |= dict(zip(circle, [*circle[1:], circle[0]], strict=True))
        start += size
    return traded


def _best_segment(annotated: npt.NDArray[np.float64], unit: AnswerUnit) -> ConstantAnswer:
    starts, ends = annotated.T
    candidate_ends = _candidates(ends)[:, None]
    best = ConstantAnswer(segment=(0.0, 0.0), unit=unit, miou=-1.0)
    for start in _candidates(starts):
        later_ends = candidate_ends[candidate_ends[:, 0] > start]
        if len(later_ends) == 0:
            continue
        mean_ious = _ious(start, later_ends, starts, ends).mean(axis=1)
        highest = int(mean_ious.argmax())
        if mean_ious[highest] > best.miou:
            segment = (float(start), float(later_ends[highest, 0]))
            best = ConstantAnswer(segment=segment, unit=unit, miou=float(mean_ious[highest]))
    return best


def _ious(
    start: float, end: npt.NDArray[np.float64], starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    intersection = np.clip(np.minimum(end, ends) - np.maximum(start, starts), 0, None)
    ious: npt.NDArray[np.float64] = intersection / (end - start + (ends - starts) - intersection)
    return ious


def _candidates(values: npt.NDArray[np.float64], most: int = MAX_CANDIDATES) -> npt.NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) <= most:
        return distinct
    return np.unique(np.quantile(values, np.linspace(0, 1, most), method="nearest"))
