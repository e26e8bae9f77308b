import pytest

from museg.cli.main import main


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [("--completion-tokens", "0", 1), ("--group-size", "1", 2), ("--prompts", "0", 1), ("--repeats", "0", 1)],
)
def test_a_step_that_cannot_be_taken_is_refused_in_one_line(
    option: str, value: str, least: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "step", option, value]) == 2
    assert f"bench step: {option} must be at least {least} (got {value})" in capsys.readouterr().err


def test_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert main(["bench", "step"]) == 2
    assert "RAY_ADDRESS names a cluster" in capsys.readouterr().err
