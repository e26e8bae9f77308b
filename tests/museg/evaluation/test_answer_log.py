from __future__ import annotations

from pathlib import Path

import pytest

from museg.errors import DataError
from museg.evaluation.answer_log import AnswerLog, LoggedAnswer


def answer(question: int, text: str, *, blind: bool = False, error: str | None = None) -> LoggedAnswer:
    return LoggedAnswer(question=question, blind=blind, video=f"{question}.mp4", text=text, error=error)


def test_an_opened_log_knows_what_was_answered(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "answers.jsonl") as log:
        log.append(answer(2, "two\u2028lines"))
        log.append(answer(0, "zero", blind=True))
    with AnswerLog(tmp_path / "answers.jsonl") as log:
        assert log.missing(3, blind=False) == [0, 1]
        assert log.missing(3, blind=True) == [1, 2]
        log.append(answer(0, "zero"))
        log.append(answer(1, ""))
        assert log.texts(3, blind=False) == ["zero", "", "two\u2028lines"]


def test_an_answer_is_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "answers.jsonl") as log:
        log.append(answer(0, "zero"))
        assert (tmp_path / "answers.jsonl").read_text().endswith('"text": "zero", "error": null}\n')


def test_a_last_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerLog(path) as log:
        log.append(answer(0, "zero"))
        log.append(answer(1, "one"))
    path.write_bytes(path.read_bytes()[:-7])
    with AnswerLog(path) as log:
        assert log.missing(2, blind=False) == [1]
        log.append(answer(1, "uno"))
    with AnswerLog(path) as log:
        assert log.texts(2, blind=False) == ["zero", "uno"]


def test_a_video_that_failed_is_named_and_asked_about_again(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "answers.jsonl") as log:
        log.append(answer(0, "", error="video 0.mp4: is empty"))
        assert log.skipped_videos() == {"0.mp4": "video 0.mp4: is empty"}
        assert log.missing(1, blind=False) == [0]
        log.append(answer(0, "mended"))
        assert (log.skipped_videos(), log.missing(1, blind=False)) == ({}, [])


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question": 0}\n')
    with pytest.raises(DataError, match=r"answers\.jsonl:1: isn't a logged answer"):
        AnswerLog(path)
