"""TEM (the same event elsewhere in the video) and GVQ (an option and the segment that shows it)."""

from __future__ import annotations

import string
from collections.abc import Sequence

from museg.evaluation.et_bench.answers import leading_letter, without_preamble
from museg.evaluation.et_bench.choices import Reading, is_correct, right_choices
from museg.evaluation.et_bench.grounding import first_segment_ious
from museg.evaluation.et_bench.overlap import at_thresholds, rounded, shares_found
from museg.evaluation.et_bench.samples import EtBenchSample
from museg.evaluation.et_bench.similarity import Similarity


def score_matches(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """TEM: best IoU of the first answered segment with any right one."""
    ious, failed = first_segment_ious(samples, answers)
    return {"Total": len(samples), "Failed": failed, **_recalls(ious, len(samples))}


def score_grounded_choices(
    samples: Sequence[EtBenchSample], answers: Sequence[str], similarity: Similarity
) -> dict[str, float]:
    """GVQ: IoU of the first answered segment where the option is right; a wrong option counts as not found."""
    readings = [_read(sample, answer) for sample, answer in zip(samples, answers, strict=True)]
    right = right_choices(samples, readings, similarity)
    chosen = [index for index, is_right in enumerate(right) if is_right]
    ious, ungrounded = first_segment_ious([samples[i] for i in chosen], [answers[i] for i in chosen])
    return {
        "Total": len(samples),
        "Failed": ungrounded + sum(reading.failed for reading in readings),
        **_recalls(ious, len(samples)),
        "Acc": rounded(len(chosen) / len(samples)),
    }


def _read(sample: EtBenchSample, answer: str) -> Reading:
    """Stricter than for the other choices: a letter leads the answer, and a wrong one is final."""
    option = without_preamble(answer)
    if not option:
        return Reading(failed=True)
    letter = leading_letter(option)
    if letter is not None and letter in string.ascii_lowercase[: len(sample.options)]:
        return Reading(right=is_correct(letter, sample))
    return Reading(resembling=option)


def _recalls(ious: Sequence[float], total: int) -> dict[str, float]:
    return {"mIoU": rounded(sum(ious) / total), **at_thresholds("R", shares_found(ious, total), mean="mRec")}
