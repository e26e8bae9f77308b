"""Reads a sample file row by row, whatever is in the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from museg.data.json_text import JSONTextError, parse_json
from museg.data.samples import read_text
from museg.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """A row as it stands in the file."""

    number: int
    """Line of a file of JSON lines, or number of the question in a list, from 1."""
    fields: Mapping[str, object] | None
    """None where the row isn't a JSON object."""
    reason: str = ""
    """Why it isn't one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """A sample file in either of the authors' formats."""

    path: Path
    is_list: bool
    """A JSON list of evaluation questions, not JSON lines of samples."""
    rows: tuple[RawRow, ...]

    @property
    def problem_field(self) -> str:
        return "question" if self.is_list else "problem"

    @property
    def solution_field(self) -> str:
        return "groundtruth" if self.is_list else "solution"


def read_raw(path: Path) -> RawFile:
    """All rows of a file, malformed ones included.

    Raises DataError if the file can't be read, holds no row, or holds no JSON object at all (then it isn't a sample
    file), and for a list that isn't JSON as a whole, since its rows can't be told apart.
    """
    text = read_text(path)
    is_list = text.lstrip().startswith("[")
    rows = _rows_of_list(path, text) if is_list else _rows_of_lines(text)
    if not rows:
        raise DataError(f"{path}: holds no samples: write one JSON object a line")
    if all(row.fields is None for row in rows):
        raise DataError(
            f"{path}: isn't a sample file: none of its {len(rows)} rows is a JSON object "
            f"(row {rows[0].number}: {rows[0].reason})"
        )
    return RawFile(path=path, is_list=is_list, rows=rows)


def _rows_of_lines(text: str) -> tuple[RawRow, ...]:
    # Not splitlines(): JSON may hold U+2028 and its like unescaped inside a text.
    lines = enumerate(text.split("\n"), start=1)
    return tuple(_row_of_line(number, line) for number, line in lines if line.strip())


def _row_of_line(number: int, line: str) -> RawRow:
    try:
        value = parse_json(line)
    except JSONTextError as error:
        return RawRow(number=number, fields=None, reason=f"not JSON ({error})")
    return _row(number, value)


def _rows_of_list(path: Path, text: str) -> tuple[RawRow, ...]:
    try:
        values = parse_json(text)
    except JSONTextError as error:
        place = f"{path}:{error.line}" if error.line else str(path)
        raise DataError(f"{place}: isn't JSON ({error}): it must be one JSON list") from error
    rows = values if isinstance(values, list) else []
    return tuple(_row(number, value) for number, value in enumerate(rows, start=1))


def _row(number: int, value: object) -> RawRow:
    if not isinstance(value, dict):
        return RawRow(number=number, fields=None, reason=f"a {type(value).__name__} instead of a JSON object")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return RawRow(number=number, fields=None, reason="holds half of a surrogate pair, which is no text")
    return RawRow(number=number, fields=value)
