from __future__ import annotations

import logging
import math
import pickle
import sys
from pathlib import Path

import pytest

from museg.config.choices import OnRewardError
from museg.config.schema import Config, RewardConfig, RunConfig
from museg.config.validation import validate
from museg.data.samples import Sample
from museg.errors import ConfigError, RewardError
from museg.rewards.functions import load_user_reward
from museg.rewards.scoring import Scorer
from museg.video.clip import ClipFacts

SAMPLE = Sample(idx=7, problem="when?", solution=((10, 20),), video="a.mp4", task="tvg")
TEXT = "<think>10.0 20.0</think><answer>10-20</answer>"

MODULE = """\
import numpy as np

WEIGHT = 3

def brevity(answer, sample, clip):
    return 1 / len(answer.text)

def share_of_video(answer, sample, clip):
    return sum(end - start for start, end in answer.segments) / clip.duration_s

def single(answer, sample, clip):
    return np.float32(len(answer.segments))

def divides(answer, sample, clip):
    return 1 / (len(answer.segments) - 1)

def nan(answer, sample, clip):
    return float("nan")

def nothing(answer, sample, clip):
    pass

def format(answer, sample, clip):
    return 1.0

mean = single
"""


@pytest.fixture(autouse=True)
def rewards_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules in the current directory, which isn't on the path, as for an installed command."""
    (tmp_path / "my_rewards.py").write_text(MODULE)
    (tmp_path / "more_rewards.py").write_text("from my_rewards import single\n")
    (tmp_path / "broken_rewards.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    for module in ("my_rewards", "more_rewards"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def scorer(*functions: str, on_error: OnRewardError = OnRewardError.error, **weights: float) -> Scorer:
    return Scorer.from_config(RewardConfig(functions=list(functions), weights=weights, on_error=on_error))


def test_a_function_of_the_users_own_sees_answer_sample_and_clip() -> None:
    clip = ClipFacts(duration_s=40.0, native_fps=30.0, sample_fps=2.0, num_frames=80)
    breakdown = scorer("format", "my_rewards:share_of_video", "my_rewards:single").score(TEXT, SAMPLE, clip)
    assert breakdown.values["share_of_video"] == 0.25
    assert breakdown.values["single"] == 1.0
    assert type(breakdown.values["single"]) is float
    assert breakdown.total == 2.25
    assert breakdown.failures == ()


def test_its_weight_is_named_by_path_or_by_name() -> None:
    by_path = RewardConfig(functions=["my_rewards:single"], weights={"my_rewards:single": 0.5})
    assert Scorer.from_config(by_path).score(TEXT, SAMPLE).total == 0.5
    assert scorer("my_rewards:single", single=0.25).score(TEXT, SAMPLE).total == 0.25
    for name in ("single", "my_rewards:single"):
        run = Config(run=RunConfig(name="r"), reward=RewardConfig(functions=["my_rewards:single"], weights={name: 2.0}))
        validate(run)
    run.reward.weights["singel"] = 1.0
    with pytest.raises(ConfigError, match=r"reward\.weights names 'singel'"):
        validate(run)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("my_rewards:", r"isn't of the form package\.module:function"),
        ("my_rewards:a:b", r"isn't of the form package\.module:function"),
        ("my rewards:brevity", r"isn't of the form package\.module:function"),
        ("their_rewards:brevity", "importing their_rewards raised ModuleNotFoundError"),
        ("broken_rewards:brevity", "No module named 'no_such_library'"),
        ("my_rewards:brevty", r"my_rewards\.py has no 'brevty': did you mean 'brevity'\?"),
        ("my_rewards:WEIGHT", "is of type int: name a function"),
        ("my_rewards:format", "'reward/format' is taken: rename it"),
        ("my_rewards:mean", "'reward/mean' is taken: rename it"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_one_line(path: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        scorer(path)
    assert "\n" not in str(refusal.value)


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="names 'single' twice"):
        scorer("my_rewards:single", "more_rewards:single")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("divides", "raised ZeroDivisionError: division by zero"),
        ("nan", "returned nan, which isn't a finite number"),
        ("nothing", "returned None, which isn't a finite number"),
    ],
)
def test_a_function_that_fails_ends_the_run_or_scores_zero_and_is_counted(
    name: str, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    message = rf"reward function my_rewards:{name} on sample 7 \(a\.mp4\) {complaint}: mend it, .*reward\.on_error=zero"
    with pytest.raises(RewardError, match=message) as failure:
        scorer(f"my_rewards:{name}").score(TEXT, SAMPLE)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)
    lenient = scorer("format", f"my_rewards:{name}", on_error=OnRewardError.zero)
    with caplog.at_level(logging.WARNING):
        breakdowns = [lenient.score(TEXT, SAMPLE) for _ in range(3)]
    assert [(breakdown.values[name], breakdown.total) for breakdown in breakdowns] == [(0.0, 1.0)] * 3
    assert [breakdown.failures for breakdown in breakdowns] == [(name,)] * 3
    assert len(caplog.records) == 1
    assert complaint in caplog.text


def test_where_numbers_are_guarded_one_that_is_not_finite_passes_but_no_other_failure() -> None:
    reward = RewardConfig(functions=["format", "my_rewards:nan"])
    breakdown = Scorer.from_config(reward, guarded=True).score(TEXT, SAMPLE)
    assert math.isnan(breakdown.values["nan"])
    assert math.isnan(breakdown.total)
    assert breakdown.failures == ()
    reward.on_error = OnRewardError.zero
    assert Scorer.from_config(reward, guarded=True).score(TEXT, SAMPLE).failures == ("nan",)
    with pytest.raises(RewardError, match="returned None"):
        Scorer.from_config(RewardConfig(functions=["my_rewards:nothing"]), guarded=True).score(TEXT, SAMPLE)


def test_the_current_directory_is_searched_but_once() -> None:
    load_user_reward("my_rewards:single")
    load_user_reward("my_rewards:brevity")
    assert sys.path.count(str(Path.cwd())) == 1
