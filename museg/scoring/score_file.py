"""Score a file of completions line by line, whatever its length."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from museg.errors import DataError
from museg.rewards.answers import parse_answer
from museg.rewards.scoring import Scorer
from museg.scoring.completion_rows import read_completion_row
from museg.scoring.summary import ScoreSummary, SummaryOfRows


def score_lines(lines: Iterable[bytes], origin: str, scorer: Scorer, output: TextIO) -> ScoreSummary:
    """Write each row with all its own fields and its `rewards`, and sum up; blank lines are left out.

    Memory doesn't grow with the file. Raises DataError for a line that isn't a row, naming `origin` and its number, and
    where there is no row at all.
    """
    summary = SummaryOfRows(scorer)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = read_completion_row(line, f"{origin}:{number}", number)
        answer = parse_answer(row.completion)
        rewards = dict(scorer.score_answer(answer, row.sample).values)
        output.write(json.dumps({**row.fields, "rewards": rewards}, ensure_ascii=False) + "\n")
        summary.add(row.sample, answer, rewards)
    if summary.num_rows == 0:
        raise DataError(f"{origin}: holds no completions: write one JSON object a line")
    return summary.finish()


@contextmanager
def appearing_whole(path: Path) -> Iterator[TextIO]:
    """A text file that stands under its name only when it is complete; after an error nothing is left.

    Raises:
        DataError: the file can't be written there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        # JSON's escape of a lone surrogate is what backslashreplace makes of it.
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}): name another output") from error
    finally:
        partial.unlink(missing_ok=True)
