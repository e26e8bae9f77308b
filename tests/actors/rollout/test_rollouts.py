from __future__ import annotations

from itertools import permutations

from actors.rollout.rollouts import InOrder


def test_items_pass_in_order_whatever_order_they_come_in() -> None:
    for order in permutations(range(4)):
        passed: list[int] = []
        in_order = InOrder(passed.append)
        for place in order:
            in_order.put(place, place)
        assert passed == [0, 1, 2, 3]


def test_an_item_passes_as_soon_as_those_before_it_have() -> None:
    passed: list[str] = []
    in_order = InOrder(passed.append)
    in_order.put(1, "b")
    assert passed == []
    in_order.put(0, "a")
    assert passed == ["a", "b"]
