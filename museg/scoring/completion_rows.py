"""Rows to score: a completion and the solution that it is measured by, whatever stands beside them."""

from __future__ import annotations

from dataclasses import dataclass

from museg.data.json_text import JSONTextError, parse_json
from museg.data.rows import Row, short
from museg.data.samples import Sample
from museg.errors import DataError

NO_TASK = "no task"
"""What a row without a task is counted under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRow:
    """One line of a file of completions."""

    fields: dict[str, object]
    """The whole row as it was read."""
    completion: str
    sample: Sample
    """Solution, task and duration of the row; the rest as far as it is there."""


def read_completion_row(line: bytes, where: str, number: int) -> CompletionRow:
    """`{"completion", "solution", "task"?, "duration"?, …}`, such as a line of a run's rollouts files.

    `idx`, `problem` and `video` are taken over for reward functions of the user's own; the number of the row stands for
    an `idx` that isn't there.
    As in sample files, segments with start > end are turned round and those with start = end dropped.

    Raises:
        DataError: the line isn't such an object; it names `where` and how to mend it.
    """
    fields = _object(line, where)
    row = Row(fields, where)
    completion = fields.get("completion")
    if not isinstance(completion, str):
        problem = f"must be a text (got {short(completion)})" if "completion" in fields else "is missing"
        raise DataError(f"{where}: field 'completion' {problem}: put what the model wrote there")
    solution = tuple((min(pair), max(pair)) for pair in row.pairs("solution") if pair[0] != pair[1])
    if not solution:
        raise DataError(f"{where}: all segments of 'solution' have zero length: mend or remove the row")
    idx = fields.get("idx")
    sample = Sample(
        idx=idx if isinstance(idx, int) else number,
        problem=_text_or_empty(fields, "problem"),
        solution=solution,
        video=_text_or_empty(fields, "video"),
        task=NO_TASK if fields.get("task") is None else row.text("task"),
        duration_s=row.optional_seconds("duration"),
    )
    return CompletionRow(fields=fields, completion=completion, sample=sample)


def _text_or_empty(fields: dict[str, object], name: str) -> str:
    """Of a field that only reward functions of the user's own look at."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _object(line: bytes, where: str) -> dict[str, object]:
    try:
        value = parse_json(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: isn't text in UTF-8 ({error.reason} at byte {error.start}): mend it") from error
    except JSONTextError as error:
        raise DataError(f"{where}: isn't JSON ({error}): mend or remove the line") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object, one completion a line (got {type(value).__name__})")
    return value
