from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import KLReference, Template
from museg.config.loading import dump_config, load_config
from museg.config.phases import checkpoints_needed, phase_at, phases_of
from museg.config.schema import Config, PhaseConfig
from museg.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
QUICKSTART = CONFIGS / "quickstart.yaml"


def two(first: str = "name: a, steps: 3", second: str = "name: b, steps: 4") -> str:
    return f"phases=[{{{first}}}, {{{second}}}]"


@pytest.mark.parametrize("index", [0, 1])
def test_two_stages_in_one_file_are_the_two_files(index: int) -> None:
    phase = phases_of(load_config(CONFIGS / "two_stages.yaml"))[index]
    alone = load_config(CONFIGS / f"stage_{index + 1}.yaml")
    assert phase.name == alone.run.name
    assert replace(phase.config, run=alone.run, model=alone.model) == alone


def test_two_stages_restart_at_step_401_from_the_weights_of_step_400() -> None:
    config = load_config(CONFIGS / "two_stages.yaml")
    first, second = phases_of(config)
    assert config.grpo.steps == 900
    assert (first.first_step, first.last_step, second.first_step, second.last_step) == (1, 400, 401, 900)
    assert (first.policy_from, first.reference_from, second.policy_from, second.reference_from) == (0, 0, 400, 400)
    assert (first.schedule_steps, second.schedule_steps) == (400, 500)
    assert (second.own_step(401), second.own_step(900)) == (1, 500)
    assert second.changes_since(first) == [
        "data.train=data/stage_2.jsonl",
        "data.template=plain",
        "reward.functions=[format_n_timestamp, segment_matching]",
        "optimizer and schedule begin anew",
    ]


def test_the_quickstart_in_two_stages_is_the_quickstart_but_for_its_phases() -> None:
    whole, in_stages = load_config(QUICKSTART), load_config(CONFIGS / "quickstart_two_stages.yaml")
    assert replace(in_stages, run=whole.run, phases=[]) == whole


def test_a_run_without_phases_is_one_phase_of_its_own_configuration() -> None:
    config = load_config(QUICKSTART)
    (phase,) = phases_of(config)
    assert phase.config is config
    assert (phase.first_step, phase.last_step, phase.schedule_steps, phase.own_step(80)) == (1, 80, 80, 80)
    assert (phase.policy_from, phase.reference_from) == (0, 0)


def test_without_a_restart_the_schedule_spans_both_phases() -> None:
    more = "name: b, steps: 4, restart: false, kl_reference: run_start, lr: 1e-5, template: plain"
    first, second = phases_of(load_config(QUICKSTART, [two(second=more)]))
    assert (first.schedule_first_step, first.schedule_last_step) == (1, 7)
    assert (second.schedule_first_step, second.schedule_last_step) == (1, 7)
    assert second.own_step(4) == 4
    assert (second.policy_from, second.reference_from, second.restarts) == (0, 0, False)
    assert (second.config.learner.lr, second.config.data.template) == (1e-5, Template.plain)
    assert first.config.learner.lr == 5e-4


ENTRIES = st.lists(
    st.builds(
        PhaseConfig,
        name=st.just("x"),
        steps=st.integers(1, 9),
        restart=st.booleans(),
        kl_reference=st.sampled_from(KLReference),
    ),
    min_size=1,
    max_size=6,
)


@given(ENTRIES)
def test_phases_tile_the_run_and_count_from_where_the_last_restart_was(entries: list[PhaseConfig]) -> None:
    config = Config(phases=entries)
    phases = phases_of(config)
    assert phases[0].first_step == 1
    assert [phase.config.grpo.steps for phase in phases] == [entry.steps for entry in entries]
    assert all(later.first_step == earlier.last_step + 1 for earlier, later in pairwise(phases))
    for phase in phases:
        for step in range(phase.first_step, phase.last_step + 1):
            assert phase_at(phases, step) is phase
            assert 1 <= phase.own_step(step) <= phase.schedule_steps
        assert phase.restarts == (phase.index == 0 or entries[phase.index].restart)
        # Whatever a step may start from is still there, all through the run.
        assert {phase.policy_from, phase.reference_from} - {0} <= checkpoints_needed(phases, phase.last_step)
        assert all(step < phase.first_step for step in (phase.policy_from, phase.reference_from))


def test_a_boundary_is_needed_to_the_end_of_the_last_phase_that_starts_from_it() -> None:
    third = ", {name: c, steps: 2}]"
    phases = phases_of(load_config(QUICKSTART, [two().removesuffix("]") + third]))
    assert checkpoints_needed(phases, 1) == {3, 7}
    assert checkpoints_needed(phases, 7) == {3, 7}
    assert checkpoints_needed(phases, 8) == {7}
    unneeded = two(second="name: b, steps: 4, restart: false, kl_beta: 0")
    assert checkpoints_needed(phases_of(load_config(QUICKSTART, [unneeded])), 1) == set()


def test_a_dumped_run_of_phases_loads_as_the_same(tmp_path: Path) -> None:
    config = load_config(CONFIGS / "two_stages.yaml", ["seed=7"])
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_phases_on_the_command_line_win_over_the_steps_of_the_file_and_steps_may_repeat_their_sum() -> None:
    assert load_config(QUICKSTART, [two()]).grpo.steps == 7
    assert load_config(QUICKSTART, [two(), "grpo.steps=7"]).grpo.steps == 7


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["phases=[{name: a, step: 3}]"], "unknown key 'step' in phases[0]; did you mean 'steps'?"),
        (["phases=[{name: a}]"], "phases[0].steps has no value"),
        (["phases=[{name: a, steps: x}]"], "Value 'x'"),
        (["phases=[{name: a, steps: 0}]"], "phases[0].steps must be at least 1 (got 0)"),
        (["phases=[{name: a, steps: 3, restart: false}]"], "phases[0].restart must be true"),
        (["phases=[{name: a, steps: 3, lr: 0}]"], "phases[0] (a): learner.lr must be above 0"),
        (["phases={name: a, steps: 3}"], "phases is a list of sections"),
        (["phases=[a]"], "phases[0] is a section of keys"),
        ([two(second="name: a, steps: 4")], "phases[1].name must be its own (got 'a' twice)"),
        ([two(), "grpo.steps=8"], "grpo.steps is 8 and the phases have 7 steps together"),
        (
            [two(second="name: b, steps: 4, functions: [format], weights: {timestamp: 2}")],
            "phases[1] (b): reward.weights names 'timestamp', which isn't among reward.functions (format)",
        ),
    ],
)
def test_phases_that_cannot_be_run_are_refused_by_name(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(QUICKSTART, overrides)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
