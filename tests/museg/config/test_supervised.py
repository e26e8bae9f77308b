from __future__ import annotations

from pathlib import Path

import pytest

from museg.config.loading import dump_config
from museg.config.supervised import load_supervised_config
from museg.errors import ConfigError

REQUIRED = ["run.name=a", "model.path=m", "data.train=t.jsonl"]
CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sft.yaml"
    path.write_text("sft: {steps: 30, batch_size: 6}\ngrpo: {kl_beta: 0.1, group_size: 4}\n")
    return path


def test_schedule_and_batches_are_counted_by_the_supervised_keys_and_no_reference_is_loaded(file: Path) -> None:
    config = load_supervised_config(file, REQUIRED)
    assert (config.grpo.steps, config.grpo.prompts_per_step, config.grpo.kl_beta) == (30, 6, 0.0)


def test_the_resolved_configuration_gives_the_same_run_again(file: Path, tmp_path: Path) -> None:
    config = load_supervised_config(file, REQUIRED)
    again = tmp_path / "config.yaml"
    again.write_text(dump_config(config))
    assert load_supervised_config(again) == config


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("sft.steps=0", r"sft\.steps must be at least 1 \(got 0\)"),
        ("sft.batch_size=0", r"sft\.batch_size must be at least 1 \(got 0\)"),
        ("learner.ranks=7", r"learner\.ranks \(7\) must not exceed sft\.batch_size \(6\)"),
        ("learner.lr=0", r"learner\.lr must be above 0"),
        ("sft.stesp=3", r"did you mean 'sft\.steps'"),
        ("phases=[{name: a, steps: 3}]", "phases are for `museg train`"),
    ],
)
def test_what_cannot_be_run_is_named(file: Path, override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_supervised_config(file, [*REQUIRED, override])


def test_more_ranks_than_grpo_has_prompts_are_welcome(file: Path) -> None:
    assert load_supervised_config(file, [*REQUIRED, "learner.ranks=32", "sft.batch_size=64"]).learner.ranks == 32


@pytest.mark.parametrize("name", ["sft.yaml", "quickstart_sft.yaml"])
def test_the_configurations_that_come_along_are_whole(name: str) -> None:
    assert load_supervised_config(CONFIGS / name).sft.steps > 0
