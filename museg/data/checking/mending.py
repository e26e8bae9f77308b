"""Rows without their anomalies: mended, or left out where nobody but the annotator can mend them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from museg.data.checking.annotations import Annotation
from museg.data.checking.anomalies import ROUNDING_S, RULES, Anomaly, Severity
from museg.data.checking.reading import RawFile
from museg.data.samples import Segment

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanCopy:
    """A file's rows, ready to be written."""

    rows: Sequence[Fields]
    changed: int
    dropped: int


def without_errors(file: RawFile, anomalies: Iterable[Anomaly]) -> CleanCopy:
    """The rows that have no error, as they stand."""
    bad = {anomaly.row for anomaly in anomalies if anomaly.severity is Severity.error}
    rows = [row.fields for row in file.rows if row.number not in bad and row.fields is not None]
    return CleanCopy(rows=rows, changed=0, dropped=len(file.rows) - len(rows))


def mended(
    file: RawFile,
    annotations: Sequence[Annotation],
    anomalies: Iterable[Anomaly],
    durations_s: Mapping[str, float],
    *,
    merge: bool,
) -> CleanCopy:
    """The rows with everything mended that can be; the others, and repeats of a whole row, are left out.

    Fields that the check doesn't know stay as they are. `durations_s` are those of decoded videos; `merge` makes
    overlapping segments one.
    """
    lost = {anomaly.row for anomaly in anomalies if not RULES[anomaly.kind].mendable}
    mender = _Mender(file, annotations, durations_s, merge=merge)
    rows: list[Fields] = []
    changed = 0
    for raw, annotation in zip(file.rows, annotations, strict=True):
        fields = None if raw.number in lost or raw.fields is None else mender.row(raw.fields, annotation)
        if fields is not None:
            rows.append(fields)
            changed += fields != raw.fields
    return CleanCopy(rows=rows, changed=changed, dropped=len(file.rows) - len(rows))


def mended_segments(segments: Sequence[Segment], duration_s: float | None, *, merge: bool = False) -> list[Segment]:
    """Segments turned round where start > end, cut to [0, duration], by start; those left empty are dropped."""
    end_s = math.inf if duration_s is None else duration_s
    inside = [(max(min(pair), 0.0), min(max(pair), end_s)) for pair in segments]
    in_order = sorted(segment for segment in inside if segment[0] < segment[1])
    return merged(in_order) if merge else in_order


def merged(in_order: Iterable[Segment]) -> list[Segment]:
    """Segments by start with overlapping ones made one; those that only touch stay two."""
    disjoint: list[Segment] = []
    for start, end in in_order:
        if disjoint and start < disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(disjoint[-1][1], end))
        else:
            disjoint.append((start, end))
    return disjoint


def clean_text(file: RawFile, copy: CleanCopy) -> str:
    """The copy in the format of `file`: JSON lines, or a JSON list."""
    lines = [json.dumps(fields, ensure_ascii=False) for fields in copy.rows]
    return "[\n" + ",\n".join(lines) + "\n]\n" if file.is_list else "".join(line + "\n" for line in lines)


class _Mender:
    """Mends the rows of one file in turn; knows which idx and which whole rows it has let pass."""

    def __init__(
        self, file: RawFile, annotations: Sequence[Annotation], durations_s: Mapping[str, float], *, merge: bool
    ) -> None:
        self.file = file
        self.durations_s = durations_s
        self.merge = merge
        self.passed: set[int | None] = set()
        self.answered: set[tuple[str | None, str | None, tuple[Segment, ...]]] = set()
        self.next_idx = max((row.idx for row in annotations if row.idx is not None), default=-1) + 1

    def row(self, fields: Fields, annotation: Annotation) -> Fields | None:
        """The row's mended fields; None if nothing is left of it, or an earlier row says the same."""
        duration_s = self._duration(annotation)
        segments = mended_segments(annotation.segments, duration_s, merge=self.merge)
        whole = (annotation.video, annotation.problem, tuple(segments))
        if not segments or whole in self.answered:
            return None
        self.answered.add(whole)
        changes: dict[str, object] = {}
        if segments != list(annotation.segments):
            changes[self.file.solution_field] = [list(segment) for segment in segments]
        if self.file.is_list:
            return {**fields, **changes}
        changes["idx"] = self._idx(annotation.idx)
        if annotation.task == "tvg" and len(segments) > 1:
            changes["task"] = "tal"
        known = {name: value for name, value in fields.items() if name != "duration"}
        if duration_s == annotation.duration_s:
            return {**fields, **changes} if duration_s is not None else {**known, **changes}
        return {**known, **changes, "duration": duration_s}

    def _duration(self, annotation: Annotation) -> float | None:
        """The annotated duration; if the decoded video contradicts it, that one's, in milliseconds rounded down."""
        probed_s = self.durations_s.get(annotation.video or "")
        annotated_s = annotation.duration_s
        if probed_s is None or (annotated_s is not None and annotated_s <= probed_s <= annotated_s + ROUNDING_S):
            return annotated_s
        return math.floor(probed_s * 1000) / 1000

    def _idx(self, idx: int | None) -> int | None:
        if idx not in self.passed:
            self.passed.add(idx)
            return idx
        self.next_idx += 1
        return self.next_idx - 1
