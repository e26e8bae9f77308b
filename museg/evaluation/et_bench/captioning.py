"""DVC and SLC: are the events found, and are they described?"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

from museg.data.samples import Segment
from museg.evaluation.et_bench.caption_scores import METRICS, caption_scores
from museg.evaluation.et_bench.java import CaptionPair, Meteor
from museg.evaluation.et_bench.overlap import THRESHOLDS, at_thresholds, rounded
from museg.evaluation.et_bench.samples import EtBenchSample
from museg.evaluation.et_bench.similarity import Similarity
from museg.evaluation.et_bench.timed_captions import TimedCaption, timed_captions

MAX_CAPTIONS = 1000
"""Further captions of an answer are ignored."""
EPSILON = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionedVideo:
    """A sample and what its answer says, at least one caption."""

    sample: EtBenchSample
    captions: Sequence[TimedCaption]


def captioned_videos(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> list[CaptionedVideo]:
    """The samples whose answers hold captions; of several samples of one video the last, as in the benchmark."""
    videos: dict[str, CaptionedVideo] = {}
    for sample, answer in zip(samples, answers, strict=True):
        captions = timed_captions(answer)[:MAX_CAPTIONS]
        if captions:
            videos[sample.video] = CaptionedVideo(sample=sample, captions=captions)
    return list(videos.values())


def score_detection(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[str, float]:
    """F1 of mean precision and mean recall over all videos; those without captions have none of either."""
    videos = captioned_videos(samples, answers)
    f1s = []
    for threshold in THRESHOLDS:
        detected = [_detection(video, threshold) for video in videos]
        precision = sum(precision for precision, _ in detected) / len(samples)
        recall = sum(recall for _, recall in detected) / len(samples)
        f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    failed = sum(not timed_captions(answer) for answer in answers)
    return {"Total": len(samples), "Failed": failed, **at_thresholds("F1", f1s, mean="F1")}


def score_captions(
    samples: Sequence[EtBenchSample], answers: Sequence[str], similarity: Similarity, meteor: Meteor
) -> dict[str, float]:
    """METRICS, each the mean over thresholds and over the videos with captions. Needs Java.

    At a threshold, a caption is compared with that of every right segment which it overlaps so much; one that overlaps
    none is compared with random letters. The benchmark draws those anew in every run, here the sample's place decides
    them, so figures repeat; they differ from a run of the benchmark's script in what random letters contribute
    (nothing to CIDEr and ROUGE_L, some hundredths to SentSim).
    """
    videos = captioned_videos(samples, answers)
    if not videos:
        return dict.fromkeys(METRICS, 0.0)
    compared = [_pairs(video, threshold) for threshold in THRESHOLDS for video in videos]
    return {name: rounded(value) for name, value in caption_scores(compared, similarity, meteor).items()}


def _detection(video: CaptionedVideo, threshold: float) -> tuple[float, float]:
    """Precision and recall: the shares of captions and of right segments that have an overlapping one."""
    overlaps = [
        [_iou(caption.segment, segment) > threshold for segment in video.sample.target] for caption in video.captions
    ]
    precision = sum(map(any, overlaps)) / len(video.captions)
    recall = sum(map(any, zip(*overlaps, strict=True))) / len(video.sample.target)
    return precision, recall


def _pairs(video: CaptionedVideo, threshold: float) -> list[CaptionPair]:
    pairs: list[CaptionPair] = []
    for number, caption in enumerate(video.captions):
        references = [
            reference
            for segment, reference in zip(video.sample.target, video.sample.captions, strict=False)
            if _iou(caption.segment, segment) >= threshold
        ] or [_random_letters(video.sample, number)]
        pairs.extend(CaptionPair(predicted=caption.text, reference=reference) for reference in references)
    return pairs


def _iou(first: Segment, second: Segment) -> float:
    intersection = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    hull = max(first[1], second[1]) - min(first[0], second[0])
    return intersection / (min(hull, first[1] - first[0] + second[1] - second[0]) + EPSILON)


def _random_letters(sample: EtBenchSample, caption_number: int) -> str:
    """10 to 20 of them: words that no caption holds."""
    draw = random.Random(f"{sample.task}/{sample.source}/{sample.idx}/{caption_number}")
    return "".join(draw.choices(string.ascii_lowercase, k=draw.randint(10, 20)))
