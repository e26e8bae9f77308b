"""The whole check of some sample files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from museg.data.checking.annotations import Annotation, read_annotations
from museg.data.checking.anomalies import Anomaly, Kind, Severity
from museg.data.checking.probing import Probe, probe_videos, video_anomalies
from museg.data.checking.reading import RawFile, read_raw
from museg.data.checking.segments import segment_anomalies
from museg.data.checking.splits import OtherSplits, duplicates
from museg.data.checking.statistics import Statistics, statistics

if TYPE_CHECKING:
    from museg.data.checking.contexts import Context

DECODE_TIMEOUT_S = 300.0
"""As long as a training run waits for a video by default (reward.timeout_s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What to check beside the rows themselves."""

    against: Sequence[Path] = ()
    """Splits that must share no video with the files."""
    video_root: Path | None = None
    """Decode the videos below it."""
    allow_outside: bool = False
    """Also those that lie elsewhere, by absolute paths or links (data.allow_outside)."""
    workers: int | None = None
    """Processes that decode; None: one a core."""
    timeout_s: float = DECODE_TIMEOUT_S
    """Longest time that decoding one video may take."""
    context: Context | None = None
    """Also whether each prompt, its video decoded by this, fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found in some files."""

    files: Sequence[RawFile]
    annotations: Sequence[Annotation]
    """Of all files, in their order."""
    anomalies: Sequence[Anomaly]
    """By file and row."""
    durations_s: Mapping[str, float]
    """Lengths of the videos that were decoded."""

    @property
    def has_errors(self) -> bool:
        return any(anomaly.severity is Severity.error for anomaly in self.anomalies)

    @property
    def counts(self) -> dict[Kind, int]:
        """Rows that have each kind of anomaly, in the order of `Kind`; kinds without any are left out."""
        rows = {(anomaly.kind, anomaly.file, anomaly.row) for anomaly in self.anomalies}
        by_kind = Counter(kind for kind, _, _ in rows)
        return {kind: by_kind[kind] for kind in Kind if by_kind[kind]}

    def statistics(self) -> Statistics:
        return statistics(self.annotations, self.durations_s)


def check_files(paths: Sequence[Path], settings: CheckSettings) -> DataCheck:
    """Check the rows of each file, against other splits and against the videos as the settings say.

    Raises DataError if a file or the video root can't be read at all.
    """
    files = [read_raw(path) for path in paths]
    others = list(chain.from_iterable(read_annotations(read_raw(path))[0] for path in settings.against))
    annotations: list[Annotation] = []
    anomalies: list[Anomaly] = []
    for file in files:
        rows, faults = read_annotations(file, allow_outside=settings.allow_outside)
        annotations += rows
        anomalies += faults
        anomalies += chain.from_iterable(segment_anomalies(row) for row in rows)
        anomalies += duplicates(rows)
    anomalies += OtherSplits(others).leaks(annotations)
    probes = _probes(annotations, anomalies, settings)
    for row in annotations:
        if row.video in probes:
            anomalies += video_anomalies(row, probes[row.video])
            if settings.context is not None:
                anomalies += settings.context.anomalies(row, probes[row.video].num_visual_tokens)
    order = {str(path): number for number, path in enumerate(paths)}
    return DataCheck(
        files=files,
        annotations=annotations,
        anomalies=sorted(anomalies, key=lambda anomaly: (order[anomaly.file], anomaly.row)),
        durations_s={video: probe.duration_s for video, probe in probes.items() if probe.duration_s is not None},
    )


def _probes(
    annotations: Sequence[Annotation], anomalies: Sequence[Anomaly], settings: CheckSettings
) -> dict[str, Probe]:
    """The videos decoded, but those whose path may lead out of the root."""
    if settings.video_root is None:
        return {}
    unsafe = {anomaly.video for anomaly in anomalies if anomaly.kind is Kind.unsafe_path}
    videos = {row.video: None for row in annotations if row.video is not None and row.video not in unsafe}
    return probe_videos(
        settings.video_root,
        list(videos),
        allow_outside=settings.allow_outside,
        workers=settings.workers,
        timeout_s=settings.timeout_s,
        budget=settings.context.budget if settings.context else None,
    )
