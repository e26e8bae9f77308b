"""Everything that the page shows beside its head: curves, samples, and what can be looked into step by step."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import msgspec

from museg.runs.report.charts import charts_of
from museg.runs.report.collecting import Collector
from museg.runs.report.record import RunRecord
from museg.runs.report.rollouts import RecordedSample
from museg.runs.report.step_pack import COMPRESSION, StepPack


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a page is made of, at one moment of the run."""

    record: RunRecord
    packs: tuple[StepPack, ...]
    samples: tuple[RecordedSample, ...]
    stride: int
    """Each so-many-th step can be looked into."""

    @property
    def videos(self) -> tuple[str, ...]:
        """Of the samples, each once, by number."""
        return tuple(dict.fromkeys(sample.video for sample in self.samples))

    def telling_videos(self) -> Iterator[str]:
        """Videos worth a picture first: of the worst, best and most disputed group of the last step, the first, the
        middle one, and those between; then of all others of the last step, and the steps before."""
        for pack in _spread(self.packs):
            for place in _extremes(pack):
                yield self.samples[pack.samples[place]].video
        for pack in reversed(self.packs):
            for number in pack.samples:
                yield self.samples[number].video

    def index(self) -> dict[str, object]:
        """What the page's scripts need at once; `samples` and `steps` as columns."""
        number_of = {video: number for number, video in enumerate(self.videos)}
        return {
            "name": self.record.name,
            "numSteps": self.record.num_steps,
            "phases": [asdict(phase) for phase in self.record.phases],
            "charts": [asdict(chart) for chart in charts_of(self.record)],
            "stride": self.stride,
            "videos": self.videos,
            "samples": {
                "idx": [sample.idx for sample in self.samples],
                "video": [number_of[sample.video] for sample in self.samples],
                "problem": [sample.problem for sample in self.samples],
                "solution": [_rounded(sample) for sample in self.samples],
                "duration": [sample.duration_s for sample in self.samples],
            },
            "steps": [
                {
                    "step": pack.step,
                    "samples": pack.samples,
                    "means": pack.reward_means,
                    "stds": pack.reward_stds,
                    "texts": pack.num_texts,
                }
                for pack in self.packs
            ],
        }


def collected(record: RunRecord, collector: Collector) -> Content:
    """The content of a run as it stands.

    Raises:
        DataError: a rollouts file is damaged.
    """
    packs = collector.collect(record.num_planned_steps)
    return Content(record=record, packs=tuple(packs), samples=tuple(collector.samples), stride=collector.stride)


def packed(value: object) -> bytes:
    """Gzipped JSON, the same bytes for the same value."""
    return gzip.compress(msgspec.json.encode(value), COMPRESSION, mtime=0)


def fingerprint(content: bytes) -> str:
    """Short name of a content, to tell whether it has changed."""
    return hashlib.sha256(content).hexdigest()[:16]


def _spread(packs: Sequence[StepPack]) -> Iterator[StepPack]:
    """Last, first, the middle, the quarters, … each once."""
    places = [len(packs) - 1, 0] if packs else []
    parts = 2
    while parts <= len(packs):
        places += [len(packs) * part // parts for part in range(1, parts, 2)]
        parts *= 2
    return (packs[place] for place in dict.fromkeys(places))


def _extremes(pack: StepPack) -> list[int]:
    places = range(len(pack.samples))
    if not places:
        return []
    means, stds = pack.reward_means, pack.reward_stds
    return [
        min(places, key=lambda place: means[place]),
        max(places, key=lambda place: means[place]),
        max(places, key=lambda place: stds[place]),
    ]


def _rounded(sample: RecordedSample) -> list[list[float]]:
    return [[round(start, 2), round(end, 2)] for start, end in sample.solution]
