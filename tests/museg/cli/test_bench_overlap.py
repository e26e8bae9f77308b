import pytest

from museg.cli.main import main


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--prompts", "1", "--prompts must be at least 2 (got 1)"),
        ("--groups-at-once", "0", "--groups-at-once must be at least 1 (got 0)"),
        ("--hidden-size", "160", "--hidden-size must be a multiple of 64 (got 160)"),
    ],
)
def test_an_overlap_that_cannot_be_measured_is_refused_in_one_line(
    option: str, value: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "overlap", option, value]) == 2
    assert f"bench overlap: {problem}" in capsys.readouterr().err


def test_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert main(["bench", "overlap"]) == 2
    assert "RAY_ADDRESS names a cluster" in capsys.readouterr().err
