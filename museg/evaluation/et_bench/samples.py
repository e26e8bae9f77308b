"""The benchmark's samples: what is asked about a video, and what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from museg.data.json_text import JSONTextError, parse_json
from museg.data.rows import MAX_SECONDS, Row, short
from museg.data.samples import Segment
from museg.errors import DataError

REFERRING = ("rar", "eca", "rvq")
"""Multiple choice about an event."""
GROUNDING = ("tvg", "epm", "tal", "evs", "vhd")
CAPTIONING = ("dvc", "slc")
COMPLEX = ("tem", "gvq")
TASKS = REFERRING + GROUNDING + CAPTIONING + COMPLEX

_WITH_OPTIONS = (*REFERRING, "gvq")
_WITH_ONE_SEGMENT = ("tvg", "epm", "gvq")
_OPTION_COUNTS = (4, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtBenchSample:
    """One row of the benchmark's annotation file, with the fields that its task has."""

    task: str
    """One of TASKS."""
    source: str
    """Data set that the video is from; a task's score is the mean over its sources."""
    idx: int
    """Unique in its task and source."""
    video: str
    question: str
    options: tuple[str, ...] = ()
    """Multiple choice: what the letters from A on stand for."""
    correct: int | None = None
    """Multiple choice: index of the right option."""
    target: tuple[Segment, ...] = ()
    """Right segments in seconds; of all annotators one after the other for `vhd`, which accepts any of them."""
    captions: tuple[str, ...] = ()
    """Captioning: what each segment of `target` shows."""
    answer: str | None = None
    """A model's answer, if the file holds answers: the content of the answer tag."""


def read_et_bench(path: Path) -> list[EtBenchSample]:
    """The samples of an annotation file or of one with answers (field `a`), in its order.

    A JSON list of `{"task", "source", "idx", "video", "q"}` and, by task, `"o"` and `"p"`, `"tgt"`, `"g"`.

    Raises:
        DataError: the file is missing or malformed, or a row lacks what its task needs; with the row's place.
    """
    rows = _read_list(path)
    if not rows:
        raise DataError(f"{path}: holds no samples: an E.T. Bench file is a JSON list of questions")
    return [_sample(_row(row, f"{path}, sample {number}")) for number, row in enumerate(rows, start=1)]


def in_subset(samples: Sequence[EtBenchSample], path: Path) -> list[EtBenchSample]:
    """Those of the samples that a file of `{task: {source: [idx, …]}}` names (the benchmark's subset.json).

    Raises DataError if the file isn't of that form, or names none of the samples.
    """
    named = {
        (task, source, idx)
        for task, sources in _object(_read_json(path), where=str(path)).items()
        for source, indices in _object(sources, where=f"{path}: {task!r}").items()
        for idx in _indices(indices, where=f"{path}: {task!r}, {source!r}")
    }
    chosen = [sample for sample in samples if (sample.task, sample.source, sample.idx) in named]
    if not chosen:
        raise DataError(f"{path}: names none of the {len(samples)} samples: is it the subset of another file?")
    return chosen


def _sample(row: Row) -> EtBenchSample:
    task = row.choice("task", TASKS)
    options = _options(row) if task in _WITH_OPTIONS else ()
    target = () if task in REFERRING else _target(row, single=task in _WITH_ONE_SEGMENT)
    return EtBenchSample(
        task=task,
        source=row.text("source"),
        idx=row.index("idx"),
        video=row.text("video"),
        question=row.chat_text("q"),
        options=options,
        correct=_correct(row, options) if options else None,
        target=target,
        captions=_captions(row, target) if task in CAPTIONING else (),
        answer=_answer(row),
    )


def _options(row: Row) -> tuple[str, ...]:
    """A segment as an option reads `start - end`, as the benchmark's script writes it."""
    values = row.fields.get("o")
    if not isinstance(values, list) or len(values) not in _OPTION_COUNTS:
        counts = " or ".join(map(str, _OPTION_COUNTS))
        raise DataError(f"{row.where}: 'o' must be a list of {counts} options")
    return tuple(f"{value[0]} - {value[1]}" if isinstance(value, list) else str(value) for value in values)


def _correct(row: Row, options: tuple[str, ...]) -> int:
    correct = row.index("p")
    if not 0 <= correct < len(options):
        raise DataError(f"{row.where}: 'p' must be the index of one of {len(options)} options (got {correct})")
    return correct


def _target(row: Row, *, single: bool) -> tuple[Segment, ...]:
    segments = tuple(_segments(row.fields.get("tgt"), row))
    if not segments or (single and len(segments) > 1):
        expected = "one [start, end]" if single else "at least one [start, end]"
        raise DataError(f"{row.where}: 'tgt' must hold {expected} (got {len(segments)})")
    return segments


def _segments(value: object, row: Row) -> list[Segment]:
    """Every [start, end] of a list, however deep: files hold a segment, segments, or segments of each annotator."""
    if not isinstance(value, list):
        raise DataError(f"{row.where}: 'tgt' must be a list of [start, end] in seconds (it holds {short(value)})")
    if len(value) == 2 and all(_is_seconds(number) for number in value):
        return [(float(value[0]), float(value[1]))]
    return [segment for part in value for segment in _segments(part, row)]


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS


def _captions(row: Row, target: tuple[Segment, ...]) -> tuple[str, ...]:
    captions = row.fields.get("g")
    if not isinstance(captions, list) or len(captions) < len(target):
        raise DataError(f"{row.where}: 'g' must be a list with a caption for each of the {len(target)} segments")
    return tuple(map(str, captions))


def _answer(row: Row) -> str | None:
    answer = row.fields.get("a")
    if answer is not None and not isinstance(answer, str):
        raise DataError(f"{row.where}: 'a' must be the answer as text (got {type(answer).__name__})")
    return answer


def _read_list(path: Path) -> list[object]:
    value = _read_json(path)
    if not isinstance(value, list):
        raise DataError(f"{path}: must be a JSON list of E.T. Bench samples (got {type(value).__name__})")
    return value


def _read_json(path: Path) -> object:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except JSONTextError as error:
        raise DataError(f"{path}{f':{error.line}' if error.line else ''}: isn't JSON ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: isn't a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error


def _row(value: object, where: str) -> Row:
    return Row(_object(value, where=where), where)


def _object(value: object, *, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object (got {type(value).__name__})")
    return value


def _indices(value: object, *, where: str) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(idx, int) for idx in value):
        raise DataError(f"{where}: must be a list of sample indices")
    return value
