from __future__ import annotations

from pathlib import Path

import pytest

from museg.config.choices import Schedule, Template
from museg.config.loading import dump_config, load_config
from museg.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
QUICKSTART = CONFIGS / "quickstart.yaml"


def test_stage_1_is_the_authors_recipe() -> None:
    config = load_config(CONFIGS / "stage_1.yaml")
    assert (config.grpo.group_size, config.grpo.prompts_per_step, config.grpo.steps) == (8, 14, 400)
    assert (config.grpo.kl_beta, config.learner.lr, config.learner.schedule) == (0.04, 1.5e-6, Schedule.linear)
    assert (config.learner.zero_stage, config.learner.max_grad_norm, config.learner.weight_decay) == (3, 1.0, 0.0)
    assert (config.generation.temperature, config.generation.max_model_len) == (0.9, 4096)
    assert config.reward.functions == ["format", "segment_matching"]
    assert config.data.template is Template.timestamps
    assert (config.video.fps, config.video.max_frames, config.video.total_pixels) == (2.0, 448, 3584 * 28 * 28)


def test_stage_2_asks_for_no_timestamps_and_evaluates_with_them() -> None:
    config = load_config(CONFIGS / "stage_2.yaml")
    assert config.grpo.steps == 500
    assert config.reward.functions == ["format_n_timestamp", "segment_matching"]
    assert (config.data.template, config.data.eval_template) == (Template.plain, Template.timestamps)


def test_overrides_win_over_the_file() -> None:
    config = load_config(QUICKSTART, ["grpo.steps=3", "learner.lr=1e-5", "reward.functions=[format]"])
    assert (config.grpo.steps, config.learner.lr, config.reward.functions) == (3, 1e-5, ["format"])


def test_a_dumped_configuration_loads_as_the_same(tmp_path: Path) -> None:
    config = load_config(QUICKSTART, ["seed=7"])
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("grpo.group_sise=4", "unknown key 'grpo.group_sise'; did you mean 'grpo.group_size'?"),
        ("group_size=4", "did you mean 'grpo.group_size'?"),
        ("lerner.lr=1", "unknown key 'lerner'; did you mean 'learner'?"),
        ("grpo.steps=many", "grpo.steps: Value 'many'"),
        ("model.dtype=float17", "model.dtype: Invalid value 'float17', expected one of [float32, bfloat16]"),
        ("grpo.group_size=1", "grpo.group_size must be at least 2 (got 1): a group of one has no advantage"),
        ("grpo.updates_per_rollout=2", "grpo.updates_per_rollout=2 needs a loss that clips, and grpo.variant=grpo"),
        ("grpo.clip_low=0.2", "grpo.clip_high is missing beside grpo.clip_low"),
        ("grpo.importance_cap=0", "grpo.importance_cap must be above 0 (got 0)"),
        ("grpo.max_resample_rounds=0", "grpo.max_resample_rounds must be at least 1 (got 0)"),
        (
            "reward.max_workers=1",
            "reward.max_workers must be at least 2 (got 1): reward.workers, with",
        ),
        ("learner.zero_stage=4", "learner.zero_stage must be 0, 1, 2 or 3 (got 4)"),
        ("generation.temperature=0", "generation.temperature must be above 0"),
        ("generation.top_p=0.9", "generation.top_p must be 1"),
        ("generation.max_tokens=4096", "must be below generation.max_model_len"),
        ("learner.ranks=99", "must not exceed grpo.prompts_per_step"),
        ("reward.functions=[]", "reward.functions is empty"),
        ("reward.weights={timestamp: 2}", "'timestamp', which isn't among reward.functions"),
        ("pipeline.staleness=-1", "pipeline.staleness must be at least 0"),
        ("run.name=../elsewhere", "run.name must be of letters"),
        ("grpo.kl_beta=nan", "grpo.kl_beta must be at least 0 (got nan)"),
        ("--steps", "isn't of the form section.key=value"),
        ("grpo=5", "grpo is a section of keys (such as grpo.advantage_eps), not 5"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(QUICKSTART, [override])
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"quickstrat.yaml' doesn't exist; did you mean '.*quickstart.yaml'\?"):
        load_config(CONFIGS / "quickstrat.yaml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a: [1", "line 2"), ("- 1\n- 2", "not a ListConfig"), ("run: {}", "data.train has no value")],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert complaint in str(refused.value)
