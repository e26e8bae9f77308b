from __future__ import annotations

import time

import pytest

from actors.occupation import Occupation


def test_overlapping_calls_count_once_and_the_rest_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    occupation = Occupation()
    with occupation.of("learner-0"):
        now = 2.0
        with occupation.of("learner-0"):
            now = 3.0
        assert occupation.outstanding("learner-0") == 1
    now = 4.0
    assert occupation.idle_fractions() == {"idle/learner-0": 0.25}


def test_a_call_that_is_outstanding_counts_on_both_sides_of_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    occupation = Occupation()
    now = 1.0
    with occupation.of("reward-0"):
        now = 2.0
        assert occupation.idle_fractions() == {"idle/reward-0": 0.5}
        now = 5.0
    now = 6.0
    assert occupation.idle_fractions() == {"idle/reward-0": 0.25}
