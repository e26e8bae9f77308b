"""answers.jsonl: the answers of an evaluation as they come, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from museg.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAnswer:
    """One line of the log."""

    question: int
    """Its place in the benchmark's file, from 0."""
    blind: bool
    """Whether it was asked about another video."""
    video: str
    """The video that was shown."""
    text: str
    """The whole completion; empty where the video couldn't be decoded."""
    error: str | None = None
    """Why there is none."""


class AnswerLog:
    """Every answer is on disk when `append` returns. A last line that was cut off is dropped on opening.

    with AnswerLog(folder / "answers.jsonl") as log: ...
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError if a line other than the last isn't an answer."""
        self.answers: dict[tuple[int, bool], LoggedAnswer] = {}
        """(question, blind) → its answer; the last one where there are several."""
        whole_lines = _whole_lines(path)
        for number, line in enumerate(whole_lines, start=1):
            answer = _parsed(line, f"{path}:{number}")
            self.answers[answer.question, answer.blind] = answer
        path.touch()
        os.truncate(path, sum(len(line) for line in whole_lines))
        self._file = path.open("a", encoding="utf-8")

    def append(self, answer: LoggedAnswer) -> None:
        self._file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.answers[answer.question, answer.blind] = answer

    def missing(self, num_questions: int, *, blind: bool) -> list[int]:
        """Questions without an answer. Those whose video couldn't be decoded are asked again: it may be mended."""
        return [
            question
            for question in range(num_questions)
            if (answer := self.answers.get((question, blind))) is None or answer.error is not None
        ]

    def texts(self, num_questions: int, *, blind: bool) -> list[str]:
        """The answers in the order of the questions, all of which must have been asked."""
        return [self.answers[question, blind].text for question in range(num_questions)]

    def skipped_videos(self) -> dict[str, str]:
        """Video that couldn't be decoded → why."""
        return {answer.video: answer.error for answer in self.answers.values() if answer.error is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _whole_lines(path: Path) -> list[bytes]:
    if not path.is_file():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _parsed(line: bytes, where: str) -> LoggedAnswer:
    try:
        return LoggedAnswer(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: isn't a logged answer ({error}); remove the line to ask again") from error
