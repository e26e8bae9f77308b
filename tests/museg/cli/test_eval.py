from __future__ import annotations

import json
from pathlib import Path

import pytest

from museg.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures"
REFERENCE = json.loads((FIXTURES / "reference_grounding_eval.json").read_text())

OUR_NAMES = {
    "tvg": {"m_iou": "miou", "mean_f1_single": "recall"}
    | {f"f1_single_{t}": f"recall@{t}" for t in (0.1, 0.3, 0.5, 0.7)},
    "tal": {"mean_f1_multi": "f1"} | {f"f1_multi_{t}": f"f1@{t}" for t in (0.1, 0.3, 0.5, 0.7)},
}


def write_rows(path: Path, benchmark: str) -> Path:
    rows = [{"groundtruth": solution, "output": output} for solution, output in REFERENCE[benchmark]["rows"]]
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("benchmark", REFERENCE)
def test_stored_answers_score_as_the_authors_script_scores_them(
    benchmark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = write_rows(tmp_path / "predictions.json", benchmark)
    assert main(["eval", "--benchmark", benchmark, "--predictions", str(predictions), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    expected = REFERENCE[benchmark]["expected"]
    assert (result["benchmark"], result["num_samples"]) == (benchmark, expected["tot"])
    names = OUR_NAMES[REFERENCE[benchmark]["method"]]
    assert result["scores"] == pytest.approx({ours: expected[theirs] for theirs, ours in names.items()}, abs=1e-6)
    assert result["constant"]["scores"].keys() == result["scores"].keys()


def test_the_table_has_the_published_and_the_constant_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    predictions = write_rows(tmp_path / "predictions.json", "charades_sta")
    assert main(["eval", "--benchmark", "charades_sta", "--predictions", str(predictions)]) == 0
    shown = capsys.readouterr().out
    miou = next(line for line in shown.splitlines() if "mIoU" in line)
    assert [cell.strip() for cell in miou.strip("│ ").split("│")] == ["mIoU", "0.370", "0.319", *PUBLISHED_MIOU]
    assert "constant: 0.0 to 12.3 s, whatever is asked" in shown


PUBLISHED_MIOU = ("0.502", "0.597", "0.414", "0.537")


def test_format_is_scored_only_where_whole_completions_are_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"groundtruth": [[10, 20]], "output": "10-20"}
    whole = row | {"completion": "<think>10.0 to 20.0</think><answer>10-20</answer>"}
    scores = []
    for rows in ([row], [whole]):
        (tmp_path / "predictions.json").write_text(json.dumps(rows))
        assert main(["eval", "--benchmark", "samples", "--predictions", f"{tmp_path}/predictions.json", "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["scores"])
    assert "format" not in scores[0]
    assert scores[1].pop("format") == 1.0
    assert scores[0] == scores[1]
    assert scores[0]["miou"] == 1.0


def test_et_bench_is_scored_from_its_own_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"task": "tvg", "source": "charades_sta", "video": "a.mp4", "q": "when?", "tgt": [10, 20]}
    rows = [{**row, "idx": 0, "a": "10.0 - 20.0"}, {**row, "idx": 1, "a": "15.0 - 20.0"}]
    (tmp_path / "et_bench.json").write_text(json.dumps(rows))
    command = ["eval", "--benchmark", "et_bench", "--predictions", f"{tmp_path}/et_bench.json"]
    assert main([*command, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["TVG F1"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert scores["tvg/charades_sta/F1@0.7"] == 0.5
    del rows[1]["a"]
    (tmp_path / "et_bench.json").write_text(json.dumps(rows))
    assert main(command) == 2
    assert "tvg of charades_sta, idx 1: has no answer: add 'a'" in capsys.readouterr().err


def et_bench_rows(path: Path) -> Path:
    """TVG: IoU 1 and 0.5. RAR: right. DVC: the one caption overlaps one of the two right segments."""
    made = {"source": "made", "video": "a.mp4", "q": "?"}
    rows = [
        {**made, "task": "tvg", "idx": 0, "tgt": [10, 20], "a": "10.0 - 20.0"},
        {**made, "task": "tvg", "idx": 1, "tgt": [10, 20], "a": "15.0 - 20.0"},
        {**made, "task": "rar", "idx": 0, "o": ["run", "sit", "eat", "sleep"], "p": 1, "a": "(B)"},
        {**made, "task": "dvc", "idx": 0, "tgt": [[0, 10], [20, 30]], "g": ["it opens", "it shuts"]}
        | {"a": "0 - 10 seconds, it opens."},
    ]
    path.write_text(json.dumps(rows))
    return path


def test_et_bench_without_captions_scores_all_else_and_says_what_is_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    command = ["eval", "--benchmark", "et_bench", "--predictions", str(et_bench_rows(tmp_path / "rows.json"))]
    assert main(command) == 2
    assert "there is no `java` on PATH" in capsys.readouterr().err
    assert main([*command, "--no-captions", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    # Precision 1 and recall 1/2 at every threshold.
    assert {name: scores[name] for name in scores if "/" not in name} == pytest.approx(
        {"TVG F1": (1 + 1 + 1 + 0.5) / 4, "RAR Acc": 1, "DVC F1": 2 / 3}, abs=1e-5
    )
    assert main([*command, "--no-captions"]) == 0
    shown = capsys.readouterr().out
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.splitlines()]
    assert "TVG made 2 0 100.0 100.0 100.0 50.0 87.5" in lines
    assert "RAR made 1 0 100.0" in lines
    assert "DVC made 1 0 66.7 66.7 66.7 66.7 66.7 – – – –" in lines
    assert "captions weren't compared: BLEU, METEOR, ROUGE_L, CIDEr and SentSim of DVC and SLC are absent" in shown


def test_a_subset_of_et_bench_is_scored_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subset = tmp_path / "subset.json"
    subset.write_text('{"tvg": {"made": [1]}, "rar": {"made": [0]}}')
    rows = et_bench_rows(tmp_path / "rows.json")
    command = ["eval", "--benchmark", "et_bench", "--predictions", str(rows), "--subset", str(subset), "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_samples"] == 2
    assert (result["scores"]["TVG F1"], result["scores"]["RAR Acc"]) == (0.75, 1)
    assert "DVC F1" not in result["scores"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "needs one of CONFIG, --run, --predictions and --compare"),
        (["--predictions", "nowhere.json"], "--predictions needs --benchmark"),
        (["--benchmark", "thumos14", "--predictions", "nowhere.json"], "nowhere.json: can't be read"),
        (["--run", "nowhere"], "nowhere isn't a run directory"),
        (["--run", "nowhere", "--benchmark", "thumos14"], "--benchmark thumos14 needs --data FILE"),
        (["configs/quickstart.yaml", "--data", "x.jsonl", "eval.sample=3"], "did you mean 'eval.samples'"),
        (["configs/quickstart.yaml", "other.yaml"], "needs one of CONFIG"),
        (["configs/stage_1.yaml"], "data.eval has no value"),
        (["--compare", "nowhere"], "nowhere: holds no result"),
        (["--compare", "nowhere", "--no-captions"], "--compare has no use for --no-captions: leave it out"),
        (
            ["--predictions", "x.json", "--benchmark", "thumos14", "--subset", "y.json"],
            "--subset and --no-captions go with",
        ),
        (
            ["configs/quickstart.yaml", "--markdown"],
            "asking a model has no use for --markdown",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FIXTURES.parents[1])
    assert main(["eval", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    shown = capsys.readouterr().out
    for mode in ("--run", "configs/", "--benchmark charades_sta --predictions", "--compare"):
        assert f"museg eval {mode}" in shown
