"""Stored answers: files in the authors' format that can be scored again without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from museg.data.json_text import JSONTextError, parse_json
from museg.data.rows import Row, short
from museg.data.samples import Sample
from museg.errors import DataError
from museg.evaluation.et_bench.samples import EtBenchSample
from museg.rewards.answers import answer_content
from museg.runs.directory import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Questions and what was answered."""

    samples: tuple[Sample, ...]
    texts: tuple[str, ...]
    """Whole completions, where the file has them; otherwise the answers in a pair of answer tags."""
    complete: bool
    """Whether the file has whole completions: only of these can the format be scored."""


def read_predictions(path: Path) -> Predictions:
    """A JSON list of `{"groundtruth": [[s, e], …], "output": "…"}`, output being the content of the answer tag.

    Also the authors' own result files: rows with `{"result": {"output"}}` and a last row of statistics, which is left
    out. `completion`, `video`, `question` and `duration` are read where they are there.

    Raises:
        DataError: the file is missing or malformed; with the row's place and how to mend it.
    """
    rows = [_row(value, f"{path}, row {number}") for number, value in enumerate(_read_list(path), start=1)]
    if rows and "groundtruth" not in rows[-1].fields and "tot" in rows[-1].fields:
        rows = rows[:-1]
    if not rows:
        raise DataError(f"{path}: holds no predictions: a JSON list of groundtruth and output is wanted")
    return Predictions(
        samples=tuple(_sample(idx, row) for idx, row in enumerate(rows)),
        texts=tuple(_text(row) for row in rows),
        complete=all("completion" in row.fields for row in rows),
    )


def write_predictions(path: Path, samples: Sequence[Sample], texts: Sequence[str]) -> None:
    """Write what `read_predictions` reads, `texts` being the whole completions."""
    rows = []
    for sample, text in zip(samples, texts, strict=True):
        row: dict[str, object] = {"video": sample.video, "question": sample.problem, "groundtruth": sample.solution}
        if sample.duration_s is not None:
            row["duration"] = sample.duration_s
        rows.append(row | {"output": answer_of(text), "completion": text})
    write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def write_et_bench_predictions(
    path: Path, questions: Path, samples: Sequence[EtBenchSample], texts: Sequence[str]
) -> None:
    """Write rows of an E.T. Bench file with the answers in `a`, as the benchmark's own script expects them.

    `samples`: of that file and in its order, all or some; the rows of the others are left out.
    """
    rows = map(_object, _read_list(questions))
    # `rows` goes on after the row of the sample before.
    answered = [
        next(row for row in rows if _is_of(row, sample)) | {"a": answer_of(text)}
        for sample, text in zip(samples, texts, strict=True)
    ]
    write_atomically(path, json.dumps(answered, indent=1, ensure_ascii=False) + "\n")


def answer_of(text: str) -> str:
    """The content of a completion's only answer tag without surrounding space; empty if there isn't exactly one."""
    return (answer_content(text) or "").strip()


def _sample(idx: int, row: Row) -> Sample:
    return Sample(
        idx=idx,
        problem=str(row.fields.get("question", "")),
        solution=row.pairs("groundtruth"),
        video=str(row.fields.get("video", "")),
        task="tal",
        duration_s=row.optional_seconds("duration"),
    )


def _text(row: Row) -> str:
    completion = row.fields.get("completion")
    if isinstance(completion, str):
        return completion
    result = row.fields.get("result")
    output = (result if isinstance(result, dict) else row.fields).get("output")
    if not isinstance(output, str):
        raise DataError(f"{row.where}: 'output' must be the answer as a text, empty if none (got {short(output)})")
    return f"<answer>{output}</answer>"


def _row(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object (got {type(value).__name__})")
    return Row(value, where)


def _object(value: object) -> dict[str, object]:
    assert isinstance(value, dict), "read_et_bench has read the same rows"
    return value


def _is_of(row: dict[str, object], sample: EtBenchSample) -> bool:
    return (row["task"], row["source"], row["idx"]) == (sample.task, sample.source, sample.idx)


def _read_list(path: Path) -> list[object]:
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except JSONTextError as error:
        raise DataError(f"{path}{f':{error.line}' if error.line else ''}: isn't JSON ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: isn't a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read as a predictions file: {error.strerror}") from error
    if not isinstance(values, list):
        raise DataError(f"{path}: must be a JSON list of predictions (got {type(values).__name__})")
    return values
