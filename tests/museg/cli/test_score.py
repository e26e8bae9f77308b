from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from museg.cli import exit_codes
from museg.cli.main import main

FIXTURE = Path(__file__).parents[2] / "fixtures" / "reference_rewards.jsonl"
FIVE = ("format", "format_n_timestamp", "global_matching", "local_matching", "segment_matching")


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_authors_rows_come_back_whole_with_the_authors_rewards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scored.jsonl"
    assert main(["score", "--input", str(FIXTURE), "--output", str(output), "--json"]) == 0
    rows = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
    scored = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n") if line]
    assert len(scored) == 1194
    for row, result in zip(rows, scored, strict=True):
        rewards = result.pop("rewards")
        assert result == row
        assert [rewards[name] for name in FIVE] == pytest.approx([row[name] for name in FIVE], abs=1e-6, rel=0)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["preset"]) == (1194, "reference")
    assert sum(task["rows"] for task in summary["tasks"].values()) == 1194
    mean = sum(row["segment_matching"] for row in rows) / 1194
    assert summary["rewards"]["segment_matching"]["mean"] == pytest.approx(mean, abs=1e-6)
    assert 0 < summary["best_constant_answer"]["miou"] < 1
    assert summary["best_constant_answer"]["segment_matching"] > 0


def test_presets_and_rules_change_the_scores(tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", {"completion": "<answer>10-15</answer>", "solution": [[10, 20]]})
    values = []
    for options in (
        [],
        ["--preset", "paper"],
        ["--preset", "paper", "--rule", "combine=sum", "--rule", "global_score=f1"],
    ):
        main(["score", "--input", str(rows), "--output", str(tmp_path / "out.jsonl"), *options])
        values.append(json.loads((tmp_path / "out.jsonl").read_text())["rewards"]["segment_matching"])
    assert values == pytest.approx([2 / 3 + 0.75, (0.5 + 0.75) / 2, 2 / 3 + 0.75], abs=1e-5)


def test_a_function_of_the_users_own_is_given_the_row_and_scored_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rewards_at_hand.py").write_text(
        "def told(answer, sample, clip):\n"
        "    assert (sample.idx, sample.video, sample.problem, clip) == (7, 'a.mp4', 'when?', None)\n"
        "    return sample.duration_s - answer.segments[0][1]\n"
    )
    monkeypatch.chdir(tmp_path)
    row = {"idx": 7, "video": "a.mp4", "problem": "when?", "duration": 30, "solution": [[10, 20]]}
    rows = written(tmp_path / "rows.jsonl", row | {"completion": "<answer>10-15</answer>"})
    command = ["score", "--input", str(rows), "--output", "out.jsonl", "--function", "rewards_at_hand:told"]
    assert main(command) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["rewards"]["told"] == 15.0
    written(rows, row | {"completion": "no answer"})
    assert main([*command, "--output", "none.jsonl"]) == exit_codes.USER_ERROR
    complaint = "museg: reward function rewards_at_hand:told on sample 7 (a.mp4) raised IndexError"
    assert capsys.readouterr().err.startswith(complaint)
    assert not (tmp_path / "none.jsonl").exists()


def test_a_bad_row_is_named_and_leaves_the_old_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = written(tmp_path / "rows.jsonl", {"completion": "", "solution": [[1, 2]]}, {"completion": ""})
    (tmp_path / "out.jsonl").write_text("old")
    assert main(["score", "--input", str(rows), "--output", str(tmp_path / "out.jsonl")]) == exit_codes.USER_ERROR
    assert capsys.readouterr().err.startswith(f"museg: {rows}:2: field 'solution' is missing: add it")
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path != rows} == {"out.jsonl": "old"}


def test_standard_input_and_output_carry_rows_and_the_summary_goes_beside(tmp_path: Path) -> None:
    row = {"completion": "<answer>1-2</answer> 视频 \ud800\u2028", "solution": [[1, 2]], "task": "tvg"}
    command = [sys.executable, "-m", "museg", "score", "--input", "-", "--output", "-"]
    ran = subprocess.run(command, input=json.dumps(row).encode() + b"\n\n", capture_output=True, timeout=60)
    assert ran.returncode == 0
    result = json.loads(ran.stdout)
    assert {name: result[name] for name in row} == row
    assert "视频 \\ud800" in ran.stdout.decode()
    assert "best constant answer" in ran.stderr.decode()


def test_a_file_may_be_scored_in_place(tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", {"completion": "", "solution": [[1, 2]], "rewards": {"old": 1}})
    assert main(["score", "--input", str(rows), "--output", str(rows)]) == 0
    rewards = json.loads(rows.read_text())["rewards"]
    assert set(rewards) == {*FIVE, "timestamp"}
    assert rewards["format"] == 0.0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--rule", "pairng=start"], "--rule 'pairng=start' isn't key=value with the key of a rule: did you mean pair"),
        (["--rule", "pairing=stat"], "--rule: pairing: Invalid value 'stat', expected one of [emission, start, assign"),
        (["--rule", "epsilon=-1"], "reward.rules.epsilon must be at least 0"),
        (["--function", "duration"], "reward.functions names 'duration', which isn't a reward"),
        (["--input", "none.jsonl"], "none.jsonl: no such file of completions"),
        (["--input", "."], ".: is a folder"),
        (["--output", "none/out.jsonl"], "none/out.jsonl: can't be written (No such file or directory)"),
        (["--json", "--output", "-"], "score: --json prints on standard output, where --output - writes the rows"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(tmp_path / "rows.jsonl", {"completion": "", "solution": [[1, 2]]})
    out = tmp_path / "out.jsonl"
    assert main(["score", "--input", str(rows), "--output", str(out), *options]) == exit_codes.USER_ERROR
    error = capsys.readouterr().err
    assert error.startswith(f"museg: {complaint}")
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_file_without_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text("\n \n")
    command = ["score", "--input", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    assert main(command) == exit_codes.USER_ERROR
    assert "holds no completions" in capsys.readouterr().err


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["score", "--help"])
    assert "museg score --input answers.jsonl --output scored.jsonl --json" in capsys.readouterr().out
