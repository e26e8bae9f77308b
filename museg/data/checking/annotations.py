"""The fields of a row, each read by itself, so that one bad field hides nothing about the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from museg.data.checking.anomalies import RULES, Anomaly, Kind, Severity
from museg.data.checking.reading import RawFile, RawRow
from museg.data.rows import MAX_INDEX, MAX_SECONDS, MAX_SEGMENTS, field_names, short
from museg.data.samples import TASKS, Segment
from museg.data.texts import special_token, text_fault
from museg.video.paths import unsafe_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What could be read of a row; a field that couldn't is None, and `segments` then is empty."""

    file: str
    row: int
    idx: int | None
    problem: str | None
    video: str | None
    task: str | None
    """None in a list of evaluation questions, too: those don't name it."""
    segments: tuple[Segment, ...]
    """As annotated: in the file's order, possibly inverted or negative, never infinite."""
    has_integer_bounds: bool
    """All bounds are written without a fraction."""
    duration_s: float | None

    def anomaly(self, kind: Kind, detail: str, severity: Severity | None = None) -> Anomaly:
        """An anomaly of this row, as severe as its kind unless said otherwise."""
        return Anomaly(
            file=self.file,
            row=self.row,
            idx=self.idx,
            video=self.video,
            kind=kind,
            severity=severity or RULES[kind].severity,
            detail=detail,
        )


def read_annotations(file: RawFile, *, allow_outside: bool = False) -> tuple[list[Annotation], list[Anomaly]]:
    """Every row of the file, and what is wrong with single fields; `allow_outside` lets paths of videos be absolute."""
    annotations, anomalies = [], []
    for row in file.rows:
        fields = _Fields(file, row, allow_outside=allow_outside)
        annotation = fields.annotation()
        annotations.append(annotation)
        anomalies += [annotation.anomaly(kind, detail) for kind, detail in fields.faults]
    return annotations, anomalies


class _Fields:
    """Reads one row field by field and notes the faults."""

    def __init__(self, file: RawFile, row: RawRow, *, allow_outside: bool) -> None:
        self.file = file
        self.allow_outside = allow_outside
        self.row = row
        self.fields = row.fields or {}
        self.faults: list[tuple[Kind, str]] = [] if row.fields is not None else [(Kind.malformed, row.reason)]

    def annotation(self) -> Annotation:
        segments = self._segments(self.file.solution_field)
        is_list = self.file.is_list
        if self.fields.get("response") is not None:
            self._chat_text("response")
        return Annotation(
            file=str(self.file.path),
            row=self.row.number,
            idx=self.row.number - 1 if is_list else self._index("idx"),
            problem=self._chat_text(self.file.problem_field),
            video=self._video("video"),
            task=None if is_list else self._task("task"),
            segments=tuple((float(start), float(end)) for start, end in segments),
            has_integer_bounds=bool(segments) and all(isinstance(bound, int) for pair in segments for bound in pair),
            duration_s=self._duration("duration"),
        )

    def _note(self, kind: Kind, detail: str) -> None:
        self.faults.append((kind, detail))

    def _value(self, name: str) -> object:
        """The field's value; None, and noted, where it is absent."""
        if name not in self.fields and self.row.fields is not None:
            self._note(Kind.missing_field, f"no {name!r} (found: {field_names(self.fields) or 'no field'})")
        return self.fields.get(name)

    def _text(self, name: str) -> str | None:
        value = self._value(name)
        if isinstance(value, str) and value.strip():
            return value
        if name in self.fields:
            self._note(Kind.wrong_type, f"{name!r} must be a text that isn't empty (got {short(value)})")
        return None

    def _index(self, name: str) -> int | None:
        value = self._value(name)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INDEX:
            return value
        if name in self.fields:
            self._note(Kind.wrong_type, f"{name!r} must be an integer (got {short(value)})")
        return None

    def _chat_text(self, name: str) -> str | None:
        text = self._text(name)
        fault = text_fault(text) if text else None
        if fault:
            self._note(Kind.unsafe_text, f"{name!r} {fault}")
        token = special_token(text) if text else None
        if token:
            self._note(Kind.special_token, f"{name!r} holds {token[:60]}")
        return text

    def _video(self, name: str) -> str | None:
        text = self._text(name)
        reason = unsafe_name(text, allow_outside=self.allow_outside) if text else None
        if reason:
            self._note(Kind.unsafe_path, f"{short(text)}: {reason}")
        return text

    def _task(self, name: str) -> str | None:
        value = self._value(name)
        if isinstance(value, str) and value in TASKS:
            return value
        if name in self.fields:
            self._note(Kind.unknown_task, f"{name!r} must be one of {', '.join(TASKS)} (got {short(value)})")
        return None

    def _duration(self, name: str) -> float | None:
        value = self.fields.get(name)
        if value is None:
            if self.row.fields is not None:
                self._note(Kind.missing_duration, "no duration annotated")
            return None
        if _is_number(value) and 0 < value <= MAX_SECONDS:
            return float(value)
        self._note(Kind.bad_duration, f"{name!r} must be seconds above 0 (got {short(value)})")
        return None

    def _segments(self, name: str) -> list[tuple[int | float, int | float]]:
        value = self._value(name)
        if name not in self.fields:
            return []
        if value == []:
            self._note(Kind.empty_solution, "no segment at all")
            return []
        pairs = value if isinstance(value, list) else []
        if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            self._note(Kind.wrong_type, f"{name!r} must be a list of [start, end] (got {short(value)})")
            return []
        if len(pairs) > MAX_SEGMENTS:
            self._note(Kind.wrong_type, f"{name!r} holds {len(pairs):,} segments, more than {MAX_SEGMENTS:,}")
            return []
        return self._numeric(name, [(pair[0], pair[1]) for pair in pairs])

    def _numeric(self, name: str, pairs: list[tuple[object, object]]) -> list[tuple[int | float, int | float]]:
        bounds = [bound for pair in pairs for bound in pair]
        strange = next((bound for bound in bounds if not _is_number(bound)), None)
        if strange is not None or None in bounds:
            self._note(Kind.wrong_type, f"{name!r} must hold numbers (got {short(strange)})")
            return []
        numbers = [bound for bound in bounds if _is_number(bound)]
        infinite = next((bound for bound in numbers if not abs(bound) <= MAX_SECONDS), None)
        if infinite is not None:
            self._note(Kind.non_finite, f"{name!r} must hold finite seconds (got {short(infinite)})")
            return []
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
