from __future__ import annotations

import pytest

from actors.faults.budget import RestartBudget, replaced_by_role
from museg.config.schema import RecoveryConfig
from museg.errors import FaultError


def test_replacements_are_counted_by_role_from_the_moment_that_they_begin() -> None:
    budget = RestartBudget(by_role={"generation": 2, "reward": 0, "learner": 1})
    with budget.recovery("generation-1", RuntimeError("died")):
        assert budget.metrics() == {"restarts/generation": 3, "restarts/reward": 0, "restarts/learner": 1}
    with budget.recovery("learner", RuntimeError("died")):
        pass
    assert budget.metrics()["restarts/learner"] == 2


def test_a_resumed_run_goes_on_from_what_its_last_row_says() -> None:
    rows = [{"step": 1, "restarts/generation": 1}, {"step": 2, "restarts/generation": 3, "restarts/learner": 1}]
    assert replaced_by_role(rows) == {"generation": 3, "reward": 0, "learner": 1}
    assert replaced_by_role([{"step": 1}]) == replaced_by_role([]) == {"generation": 0, "reward": 0, "learner": 0}


def test_one_that_the_budget_refuses_is_counted_too() -> None:
    budget = RestartBudget(RecoveryConfig(max_restarts=0))
    with pytest.raises(FaultError, match="max_restarts=0"), budget.recovery("reward-0", RuntimeError("died")):
        pass
    assert budget.metrics()["restarts/reward"] == 1
