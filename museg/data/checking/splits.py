"""Rows that are there twice, in one file or in two splits that should share no video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from museg.data.checking.annotations import Annotation
from museg.data.checking.anomalies import Anomaly, Kind

MIN_COMMON_PARTS = 2
"""Path components that tell a video: a bare file name is reused too often."""


def duplicates(annotations: Sequence[Annotation]) -> Iterator[Anomaly]:
    """The later ones of the rows of one file that share an idx, or video and problem."""
    row_of_idx: dict[int, int] = {}
    first_of_question: dict[tuple[str, str], Annotation] = {}
    for annotation in annotations:
        if annotation.idx is not None:
            first_row = row_of_idx.setdefault(annotation.idx, annotation.row)
            if first_row != annotation.row:
                yield annotation.anomaly(Kind.duplicate_idx, f"idx {annotation.idx} is also that of row {first_row}")
        if annotation.video is None or annotation.problem is None:
            continue
        first = first_of_question.setdefault((annotation.video, annotation.problem), annotation)
        if first is not annotation:
            answer = "the same answer" if first.segments == annotation.segments else "another answer"
            yield annotation.anomaly(
                Kind.duplicate, f"asks what row {first.row} asks about the same video, with {answer}"
            )


class OtherSplits:
    """The videos and questions that a split must not share, found again under another root.

    Two paths name one video if they are equal, or if the one ends with the whole other (at least two components of
    it): `charades/3MSZA.mp4` is `videos/charades/3MSZA.mp4`.
    """

    def __init__(self, annotations: Sequence[Annotation]) -> None:
        self._rows: dict[str, Annotation] = {}
        self._rows_by_ending: dict[str, Annotation] = {}
        self._questions: dict[tuple[str, str], Annotation] = {}
        for annotation in annotations:
            if annotation.video is None:
                continue
            video = _normal(annotation.video)
            self._rows.setdefault(video, annotation)
            for ending in _endings(video):
                self._rows_by_ending.setdefault(ending, annotation)
            self._questions.setdefault((str(self._rows[video].video), annotation.problem or ""), annotation)

    def leaks(self, annotations: Sequence[Annotation]) -> Iterator[Anomaly]:
        """Rows whose video is in another split, with the place there; that of the same question if it is asked too."""
        for annotation in annotations:
            other = self._same_video(annotation.video)
            if other is None:
                continue
            asked = self._questions.get((str(other.video), annotation.problem or ""))
            place = asked or other
            what = "video and question are" if asked and annotation.problem else "video is"
            yield annotation.anomaly(Kind.leak, f"the same {what} in {place.file}, row {place.row}")

    def _same_video(self, path: str | None) -> Annotation | None:
        if path is None:
            return None
        video = _normal(path)
        if video in self._rows:
            return self._rows[video]
        if len(PurePosixPath(video).parts) >= MIN_COMMON_PARTS and video in self._rows_by_ending:
            return self._rows_by_ending[video]
        return next((self._rows[ending] for ending in _endings(video) if ending in self._rows), None)


def _normal(video: str) -> str:
    return str(PurePosixPath(video))


def _endings(video: str) -> list[str]:
    """The path without its first components, longest first, down to folder and name."""
    parts = PurePosixPath(video).parts
    return ["/".join(parts[first:]) for first in range(1, len(parts) - MIN_COMMON_PARTS + 1)]
