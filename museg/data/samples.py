"""Samples: a question about a video and the segments that answer it."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from museg.data.json_text import JSONTextError, parse_json
from museg.data.rows import Row
from museg.errors import DataError

Segment = tuple[float, float]
"""Start and end of a time segment, in seconds of the video."""

TASKS = ("tvg", "tal")
MAX_LISTED_ROWS = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a sample file, as the authors publish them (DESIGN: sample file)."""

    idx: int
    problem: str
    solution: tuple[Segment, ...]
    video: str
    """Path relative to `data.video_root`."""
    task: str
    """`tvg` (one segment is asked for) or `tal` (all segments of an action)."""
    duration_s: float | None = None
    response: str | None = None
    """Completion to teach in a supervised run (`museg sft`); without one, it is rendered from the solution."""


def read_samples(path: Path) -> list[Sample]:
    """All samples of a file, in its order.

    Reads both of the authors' formats: JSON lines of `{"idx", "problem", "solution", "video", "task", "duration"?}`,
    to which `"response"` may be added, and, told by its leading bracket, a JSON list of `{"video", "question",
    "groundtruth"}` (evaluation). The latter don't name a task: it is `tal` for the whole list if any question has
    several segments, else `tvg`.

    A segment with start > end is turned round and one with start = end dropped (7 rows of the authors' training data
    have one); a warning counts those rows. Segments that overlap, or end after the video, stay as annotated.

    Raises:
        DataError: the file is missing, empty or malformed, or a row has a missing field, a wrong type,
            a number that isn't finite, no segment, or a text that the model must not read (control characters,
            special tokens); with the row's place and how to mend it.
    """
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: holds no samples: write one JSON object a line")
    is_list = text.lstrip().startswith("[")
    rows = _rows_of_list(path, text) if is_list else _rows_of_lines(path, text)
    segments = [row.pairs("groundtruth" if is_list else "solution") for row in rows]
    solutions = [_mended(pairs, row) for pairs, row in zip(segments, rows, strict=True)]
    _warn_of_mended(
        path, [row.where for row, *both in zip(rows, segments, solutions, strict=True) if both[0] != both[1]]
    )
    if is_list:
        return _evaluation_samples(rows, solutions)
    return [_training_sample(row, solution) for row, solution in zip(rows, solutions, strict=True)]


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples as JSON lines that `read_samples` reads back."""
    with path.open("w", encoding="utf-8") as lines:
        for sample in samples:
            row: dict[str, object] = {
                "idx": sample.idx,
                "problem": sample.problem,
                "solution": sample.solution,
                "video": sample.video,
                "task": sample.task,
            }
            if sample.duration_s is not None:
                row["duration"] = sample.duration_s
            if sample.response is not None:
                row["response"] = sample.response
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_text(path: Path) -> str:
    """The whole text of a sample file. Raises DataError if it is missing or isn't UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such sample file{_nearest(path)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: isn't a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read as a sample file: {error.strerror}") from error


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f": the folder {path.parent} doesn't exist either"
    names = [entry.name for entry in path.parent.iterdir()]
    nearest = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f": did you mean {path.with_name(nearest[0])}?" if nearest else f" in that folder of {len(names)} files"


def _rows_of_lines(path: Path, text: str) -> list[Row]:
    rows = []
    # Not splitlines(): JSON may hold U+2028 and its like unescaped inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = parse_json(line)
        except JSONTextError as error:
            raise DataError(f"{where}: isn't JSON ({error}): mend or remove the line") from error
        rows.append(_row(value, where))
    return rows


def _rows_of_list(path: Path, text: str) -> list[Row]:
    try:
        values = parse_json(text)
    except JSONTextError as error:
        place = f"{path}:{error.line}" if error.line else str(path)
        raise DataError(f"{place}: isn't JSON ({error}): it must be one JSON list") from error
    if not isinstance(values, list) or not values:
        raise DataError(f"{path}: holds no samples: an evaluation file is a JSON list of questions")
    return [_row(value, f"{path}, question {number}") for number, value in enumerate(values, start=1)]


def _row(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object, one sample (got {type(value).__name__})")
    return Row(value, where)


def _training_sample(row: Row, solution: tuple[Segment, ...]) -> Sample:
    return Sample(
        idx=row.index("idx"),
        problem=row.chat_text("problem"),
        solution=solution,
        video=row.text("video"),
        task=row.choice("task", TASKS),
        duration_s=row.optional_seconds("duration"),
        response=row.optional_chat_text("response"),
    )


def _evaluation_samples(rows: list[Row], solutions: list[tuple[Segment, ...]]) -> list[Sample]:
    task = "tal" if any(len(solution) > 1 for solution in solutions) else "tvg"
    return [
        Sample(idx=idx, problem=row.chat_text("question"), solution=solution, video=row.text("video"), task=task)
        for idx, (row, solution) in enumerate(zip(rows, solutions, strict=True))
    ]


def _mended(pairs: tuple[Segment, ...], row: Row) -> tuple[Segment, ...]:
    segments = tuple((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
    if not segments:
        raise DataError(f"{row.where}: all its segments have zero length: mend or remove the row")
    return segments


def _warn_of_mended(path: Path, places: list[str]) -> None:
    if not places:
        return
    listed = ", ".join(place.removeprefix(str(path)).lstrip(":, ") for place in places[:MAX_LISTED_ROWS])
    _log.warning(
        "%s: %d rows have segments that don't end after they start; turned round, or dropped if empty: %s%s",
        path,
        len(places),
        listed,
        ", …" if len(places) > MAX_LISTED_ROWS else "",
    )
