from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.cli.main import main
from museg.data.samples import read_samples
from tests.museg.data.checking.rows import row, write_rows


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "train.jsonl",
        row(10),
        row(11, solution=[[9.5, 4]]),
        "{oops\n",
        row(12, solution=[[1, 30.5]]),
        row(13, solution=[[1, 40.5]]),
    )


def test_the_report_counts_shows_and_explains(flawed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(flawed)]) == 1
    out = capsys.readouterr().out
    table = [[cell.strip() for cell in line.split("│")[1:4]] for line in out.splitlines() if line.startswith("│")]
    assert table[:3] == [["malformed", "1", "1"], ["inverted", "1", "1"], ["beyond_duration", "2", "1"]]
    assert "inverted → --fix turns it round" in out
    assert "row 2 (idx 11): 9.5-4 ends before it starts" in out
    assert "row 3: not JSON" in out
    assert "best constant answer" in out


def test_json_is_one_object_and_nothing_else(flawed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(flawed), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["file", "rows", "anomalies", "counts", "statistics"]
    assert (report["file"], report["rows"]) == (str(flawed), 5)
    assert report["counts"] == {"malformed": 1, "inverted": 1, "beyond_duration": 2}
    assert report["anomalies"][0] == {
        "file": str(flawed),
        "row": 2,
        "idx": 11,
        "video": "charades/11.mp4",
        "kind": "inverted",
        "severity": "error",
        "detail": "9.5-4 ends before it starts",
    }
    assert report["statistics"]["sources"] == {"charades": 4, "no video": 1}
    assert report["statistics"]["best_constant_answer"]["unit"] == "of the duration"


def test_several_files_make_one_report(flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_rows(tmp_path / "other.jsonl", row(1, solution=[[9.5, 4]]))
    assert main(["data", "check", str(flawed), str(other), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == [str(flawed), str(other)]
    assert (report["rows"], report["counts"]["inverted"]) == (6, 2)
    assert main(["data", "check", str(flawed), str(other)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ inverted")]
    assert [cell.strip() for cell in line.split("│")[1:6]] == ["inverted", "1", "1", "2", "2"]


def test_warnings_alone_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(write_rows(tmp_path / "a.jsonl", row(1, duration=None)))]) == 0
    assert "missing_duration" in capsys.readouterr().out
    assert main(["data", "check", str(write_rows(tmp_path / "b.jsonl", row(1)))]) == 0
    assert "nothing to mend" in capsys.readouterr().out


def test_fix_and_drop_write_clean_copies(flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = flawed.read_bytes()
    fixed, dropped = tmp_path / "fixed.jsonl", tmp_path / "dropped.jsonl"
    assert main(["data", "check", str(flawed), "--json", "--fix", str(fixed)]) == 1
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert captured.err == f"{fixed}: 4 rows, 3 of them changed; 1 dropped\n"
    assert [(sample.idx, sample.solution) for sample in read_samples(fixed)] == [
        (10, ((1.0, 2.5),)),
        (11, ((4.0, 9.5),)),
        (12, ((1.0, 30.0),)),
        (13, ((1.0, 30.0),)),
    ]
    assert main(["data", "check", str(flawed), "--drop", str(dropped)]) == 1
    assert capsys.readouterr().err == f"{dropped}: 2 rows, 0 of them changed; 3 dropped\n"
    assert [sample.idx for sample in read_samples(dropped)] == [10, 12]
    assert flawed.read_bytes() == before
    assert main(["data", "check", str(fixed)]) == 0
    assert main(["data", "check", str(dropped)]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{file}", "--fix", "{file}"], "is one of the files to check: write the copy elsewhere"),
        (
            ["{file}", "--against", "{other}", "--drop", "{folder}/../{name}/other.jsonl"],
            "is one of the files to check",
        ),
        (["{file}", "{other}", "--fix", "{folder}/out.jsonl"], "--fix and --drop take one FILE (got 2)"),
        (["{file}", "--merge"], "--merge changes what --fix writes: add --fix OUT"),
        (["{file}", "--workers", "0"], "--workers must be at least 1 (got 0)"),
        (["{file}", "--timeout", "nan"], "--timeout must be finite seconds above 0 (got nan)"),
        (["{file}", "--fix", "{folder}/nowhere/out.jsonl"], "can't write"),
        (["{file}", "--fix", "{folder}"], "can't write"),
        (["{other}", "--drop", "{folder}/out.jsonl"], "no row would be left in"),
        (["{folder}/trane.jsonl"], "no such sample file: did you mean"),
        (["{file}", "--video-root", "{folder}/nowhere"], "isn't a folder"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(
    flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    other = write_rows(tmp_path / "other.jsonl", row(1, solution=[[9.5, 4]]))
    before = {path: path.read_bytes() for path in (flawed, other)}
    places = {"file": flawed, "other": other, "folder": tmp_path, "name": tmp_path.name}
    assert main(["data", "check", *(option.format(**places) for option in options)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("museg: ")
    assert message in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in sorted(tmp_path.iterdir())} == dict(sorted(before.items()))


def test_the_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["data", "check", "--help"])
    out = capsys.readouterr().out
    assert "museg data check train.jsonl --video-root videos --against eval.jsonl" in out
    assert "exit codes: 0 clean" in out
