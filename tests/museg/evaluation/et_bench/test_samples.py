from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.errors import DataError
from museg.evaluation.et_bench.samples import in_subset, read_et_bench

CHOICE = {
    "version": 1.0,
    "task": "rvq",
    "source": "star",
    "idx": 3,
    "video": "star/a.mp4",
    "duration": 31.5,
    "q": "Which?",
    "o": ["a door", [1, 2.5], "a cup", "a dog"],
    "p": 1,
}
CAPTIONS = {
    "task": "dvc",
    "source": "hirest",
    "idx": 8,
    "video": "hirest/b.mp4",
    "q": "Describe.",
    "tgt": [[0, 4.5], [6, 9]],
    "g": ["a man opens the door", "he leaves"],
    "a": "",
}
HIGHLIGHT = CAPTIONS | {"task": "vhd", "tgt": [[[1, 2]], [[3, 4], [5, 6]]]}


def written(folder: Path, value: object) -> Path:
    file = folder / "bench.json"
    file.write_text(json.dumps(value))
    return file


def test_each_task_has_its_own_fields(tmp_path: Path) -> None:
    choice, captions, highlight = read_et_bench(written(tmp_path, [CHOICE, CAPTIONS, HIGHLIGHT]))
    assert (choice.task, choice.source, choice.idx, choice.video) == ("rvq", "star", 3, "star/a.mp4")
    assert (choice.question, choice.options, choice.correct) == ("Which?", ("a door", "1 - 2.5", "a cup", "a dog"), 1)
    assert (choice.target, choice.captions, choice.answer) == ((), (), None)
    assert captions.target == ((0, 4.5), (6, 9))
    assert (captions.captions, captions.answer) == (("a man opens the door", "he leaves"), "")
    assert highlight.target == ((1, 2), (3, 4), (5, 6))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (CHOICE | {"task": "qa"}, "'task' must be one of rar, eca"),
        (CHOICE | {"p": 4}, "'p' must be the index of one of 4 options"),
        (CHOICE | {"o": ["a", "b"]}, "'o' must be a list of 4 or 5 options"),
        ({key: value for key, value in CHOICE.items() if key != "q"}, "field 'q' is missing"),
        (CAPTIONS | {"g": ["one"]}, "'g' must be a list with a caption for each of the 2 segments"),
        (CAPTIONS | {"tgt": "0-4"}, "'tgt' must be a list"),
        (CAPTIONS | {"tgt": [[0, -1]]}, "'tgt' must be a list"),
        (CAPTIONS | {"tgt": []}, "'tgt' must hold at least one"),
        (CAPTIONS | {"task": "epm"}, r"'tgt' must hold one \[start, end\] \(got 2\)"),
        (CAPTIONS | {"a": 3}, "'a' must be the answer as text"),
        ("a row", "must be a JSON object"),
    ],
)
def test_a_row_that_cannot_be_scored_is_refused_by_its_place(tmp_path: Path, row: object, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"bench\.json, sample 2: .*{complaint}"):
        read_et_bench(written(tmp_path, [CHOICE, row]))


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    for value, complaint in (([], "holds no samples"), ({}, "must be a JSON list")):
        with pytest.raises(DataError, match=complaint):
            read_et_bench(written(tmp_path, value))
    (tmp_path / "broken.json").write_text("[{]")
    with pytest.raises(DataError, match=r"broken\.json:1: isn't JSON"):
        read_et_bench(tmp_path / "broken.json")
    with pytest.raises(DataError, match="can't be read: No such file"):
        read_et_bench(tmp_path / "none.json")


def test_a_subset_keeps_the_samples_that_it_names(tmp_path: Path) -> None:
    samples = read_et_bench(written(tmp_path, [CHOICE, CHOICE | {"idx": 4}, CAPTIONS]))
    subset = tmp_path / "subset.json"
    subset.write_text(json.dumps({"rvq": {"star": [4, 99], "other": [3]}, "dvc": {"youcook2": [8]}}))
    assert in_subset(samples, subset) == [samples[1]]
    for text, complaint in (
        ('{"rvq": {"star": [7]}}', "names none of the 3 samples"),
        ('{"rvq": [7]}', "'rvq': must be a JSON object"),
        ('{"rvq": {"star": 7}}', "'rvq', 'star': must be a list of sample indices"),
    ):
        subset.write_text(text)
        with pytest.raises(DataError, match=complaint):
            in_subset(samples, subset)
