from __future__ import annotations

from pathlib import Path

import pytest

from museg.cli import main
from tests.end_to_end.conftest import QUICKSTART, Museg, Workplace


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["grpo.group_sise=4"], "did you mean 'grpo.group_size'"),
        (["grpo.group_size=1"], "a group of one has no advantage"),
        (["data.train=nowhere.jsonl"], "nowhere.jsonl"),
        (["data.train={tmp}/malformed.jsonl"], "malformed.jsonl:2: isn't JSON"),
        (["model.path={tmp}"], "config.json"),
        (["model.path=nowhere"], "nowhere"),
        (["reward.functions=[segment_matchin]"], "segment_matching"),
    ],
)
def test_it_ends_with_one_line_and_code_2_before_anything_is_written(
    overrides: list[str], complaint: str, workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (workplace.data / "train.jsonl").read_text().splitlines()[0]
    (tmp_path / "malformed.jsonl").write_text(f"{good}\n{{not json\n")
    filled = [override.format(tmp=tmp_path) for override in overrides]
    assert main(["train", str(QUICKSTART), *workplace.overrides("bad", *filled)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not workplace.run("bad").path.exists()


def test_a_missing_config_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(QUICKSTART.with_name("quickstrat.yaml"))]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.slow
def test_a_prompt_longer_than_the_context_is_refused_and_never_cut(museg: Museg, workplace: Workplace) -> None:
    short = ["generation.max_model_len=64", "generation.max_tokens=8", "eval.max_tokens=8", "data.eval=null"]
    done = museg("train", str(QUICKSTART), *workplace.overrides("too-long", *short))
    assert done.returncode == 2
    assert "generation.max_model_len" in done.stderr
    assert done.stderr.count("\n") == 1
