from __future__ import annotations

import math
import os
import time

from museg.data.checking.watched import Lost, run_watched


def test_results_come_with_their_items() -> None:
    outcomes = dict(run_watched(math.sqrt, [4.0, 9.0, 16.0], workers=2, timeout_s=60, preload="math"))
    assert outcomes == {4.0: 2.0, 9.0: 3.0, 16.0: 4.0}


def test_without_items_nothing_is_started() -> None:
    assert list(run_watched(math.sqrt, [], workers=2, timeout_s=60, preload="math")) == []


def test_a_hanging_item_is_killed_and_the_others_go_on() -> None:
    began = time.monotonic()
    outcomes = dict(run_watched(time.sleep, [600.0, 0.0, 0.01, 0.02], workers=1, timeout_s=1.0, preload="time"))
    assert outcomes == {600.0: Lost(reason="took longer than 1 s"), 0.0: None, 0.01: None, 0.02: None}
    assert 1.0 <= time.monotonic() - began < 60


def test_a_process_that_dies_costs_its_item_alone() -> None:
    outcomes = dict(run_watched(os._exit, [3, 4], workers=1, timeout_s=60, preload="os"))
    assert outcomes == {
        3: Lost(reason="ended its process (exit code 3)"),
        4: Lost(reason="ended its process (exit code 4)"),
    }
