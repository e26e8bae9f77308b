from __future__ import annotations

from collections.abc import Sequence

import pytest

from actors.guards.watch import Guards
from actors.learner.stats import DivergedError, SkipReason
from museg.config.schema import GuardsConfig

ENTROPIES = (1.0, 0.9, 1.1, 1.0, 1.0)
BEFORE = {"miou": 0.2, "blind/miou": 0.19}


def run(
    guards: Guards,
    entropies: Sequence[float] = ENTROPIES,
    skipped: Sequence[SkipReason | None] = (),
    scores: dict[str, float] | None = None,
    first_step: int = 1,
) -> list[dict[str, float]]:
    rows = []
    for place, entropy in enumerate(entropies):
        row = {"step": float(first_step + place), "policy/entropy": entropy, "parity/logprob_gap_mean": 0.4}
        row |= {f"eval/{key}": value for key, value in (scores or {}).items()}
        row |= guards.note(skipped[place] if skipped else None)
        row |= guards.marks(row, before=BEFORE)
        rows.append(row)
        guards.refuse(first_step + place, row)
    return rows


def test_bad_steps_are_counted_and_one_more_in_a_row_than_allowed_ends_the_run() -> None:
    said: list[str] = []
    guards = Guards(GuardsConfig(max_bad_steps=2), say=said.append)
    bad, good = SkipReason.loss, None
    rows = run(guards, (1.0, 1.0, 0.0, 1.0, 0.0, 0.0), [good, bad, bad, good, bad, bad])
    assert [row["guards/bad_steps"] for row in rows] == [0, 1, 2, 2, 3, 4]
    assert len(said) == 4
    assert said[0].startswith("step 2 is skipped: a loss or logprob isn't finite")
    with pytest.raises(DivergedError, match=r"^step 7: .*in 3 steps in a row, and guards\.max_bad_steps=2: ") as told:
        run(guards, [0.0], [bad], first_step=7)
    assert told.value.state_of_step == 7


def test_a_resumed_run_counts_on_but_begins_anew_where_bad_steps_had_ended_it() -> None:
    config, bad = GuardsConfig(max_bad_steps=1), SkipReason.gradient
    rows = run(Guards(config, say=str), [1.0, 1.0], [None, bad])
    with pytest.raises(DivergedError, match="in 2 steps in a row"):
        run(Guards(config, rows, say=str), [1.0], [bad], first_step=3)
    ended = [*rows, {"guards/bad_steps": 2.0, "policy/entropy": 0.0}]
    assert run(Guards(config, ended, say=str), [1.0], [bad])[0]["guards/bad_steps"] == 3


def test_generators_that_have_come_apart_end_the_run_with_the_state_of_the_step_before() -> None:
    with pytest.raises(DivergedError, match=r"^step 9: .*by 0\.4 nats.*max_logprob_gap=0\.1\. Likely causes:") as told:
        run(Guards(GuardsConfig(), say=str), [1.0], [SkipReason.logprob_gap], first_step=9)
    assert told.value.state_of_step == 8


def test_entropy_below_a_share_of_the_first_five_steps_is_marked_and_told_once_also_after_resuming() -> None:
    said: list[str] = []
    guards = Guards(GuardsConfig(min_entropy_fraction=0.2), say=said.append)
    # The bad step's entropy is none of the first five.
    rows = run(guards, (0.1, 0.0, *ENTROPIES[1:], 0.17, 0.165), [None, SkipReason.loss, *[None] * 6])
    assert [row["guards/entropy_collapsed"] for row in rows] == [0, 0, 0, 0, 0, 0, 0, 0]
    low = run(guards, [0.15, 0.15], first_step=9)
    assert [row["guards/entropy_collapsed"] for row in low] == [1, 1]
    assert "fallen to 0.15 nats" in said[-1]
    resumed = Guards(GuardsConfig(), [*rows, *low], say=said.append)
    assert run(resumed, [0.15])[0]["guards/entropy_collapsed"] == 1
    assert len([line for line in said if "entropy" in line]) == 1


@pytest.mark.parametrize(
    ("scores", "ungrounded"),
    [
        ({"miou": 0.5, "blind/miou": 0.4}, 1),
        ({"miou": 0.5, "blind/miou": 0.39}, 0),
        ({"miou": 0.2, "blind/miou": 0.19}, 0),
        ({"miou": 0.5}, 0),
    ],
)
def test_a_blind_score_near_the_seeing_one_and_above_the_starts_is_told(
    scores: dict[str, float], ungrounded: int
) -> None:
    said: list[str] = []
    rows = run(Guards(GuardsConfig(), say=said.append), [1.0, 1.0], scores=scores)
    assert [row["guards/ungrounded"] for row in rows] == [ungrounded] * 2
    assert len(said) == ungrounded
