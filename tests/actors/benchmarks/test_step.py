from pathlib import Path

import pytest

from actors.benchmarks.step import StepShape, StepTimes, factors, measure_step

SHAPE = StepShape(prompt_tokens=97, completion_tokens=8, group_size=4, num_prompts=2, repeats=1, seed=0)


@pytest.mark.slow
@pytest.mark.thorough
def test_both_sides_take_steps_on_prompts_of_the_same_length(tmp_path: Path) -> None:
    figures = measure_step(SHAPE, tmp_path)
    assert figures["prompt_tokens"] == {"museg": 97, "trl": 97}
    assert figures["ratio_vs_trl"] == figures["trl_step_s"] / figures["museg_step_s"]
    assert figures["museg_completions_per_s"] == 8 / figures["museg_step_s"]
    for side in ("museg", "trl"):
        assert 1 <= figures[f"{side}_tokens_mean"] <= 8
        spent = [row[f"{side}_s"] for row in figures["factors"]]
        assert all(seconds > 0 for seconds in spent)
    assert sum(row["trl_share"] for row in figures["factors"]) == pytest.approx(1.0)


def test_a_factor_is_the_ratio_of_medians() -> None:
    ours = StepTimes(step_s=[4.0], generate_s=[3.0], learn_s=[2.0], decode_s=[1.0], tokens_mean=8.0)
    theirs = StepTimes(
        step_s=[10.0, 12.0, 40.0],
        generate_s=[6.0, 5.0, 30.0],
        learn_s=[4.0, 7.0, 9.0],
        decode_s=[0.0, 0.0, 1.0],
        tokens_mean=8.0,
    )
    generation, learner, decode = factors(ours, theirs)
    assert (generation["ratio"], learner["ratio"], decode["ratio"]) == (2.0, 3.5, 0.0)
    assert (generation["museg_share"], generation["trl_share"]) == (0.75, 0.5)
