from __future__ import annotations

from collections.abc import Sequence

import pytest

from museg.evaluation.et_bench.choices import score_choices
from museg.evaluation.et_bench.complex import score_grounded_choices
from tests.museg.evaluation.et_bench.made import multiple_choice

SAMPLE = multiple_choice("rar", "red", "green", "blue", "grey", correct=1)


def shared_words(pairs: Sequence[tuple[str, str]]) -> list[float]:
    return [float(len(set(first.split()) & set(second.split()))) for first, second in pairs]


@pytest.mark.parametrize(
    ("answer", "right", "failed"),
    [
        ("(B)", True, False),
        ("I choose (b), sure", True, False),
        ("Best Option: B", True, False),
        ("b) green", True, False),
        ("it is green", True, True),
        ("it is blue", False, True),
        ("D. or is it green", True, False),
        ("D", False, False),
        ("", False, True),
        ("Best option: (", False, True),
    ],
)
def test_a_right_letter_or_the_most_similar_option_counts(answer: str, right: bool, failed: bool) -> None:
    assert score_choices([SAMPLE], [answer], shared_words) == {"Total": 1, "Failed": failed, "Acc": right}


@pytest.mark.parametrize(
    ("answer", "accuracy", "recall", "failed"),
    [
        ("B. 0-10", 1, 1, 0),
        ("B. 0-6", 1, 0.75, 0),
        ("B. unknown", 1, 0, 1),
        ("D. green 0-10", 0, 0, 0),
        ("it is green , 0-10", 1, 1, 0),
        ("", 0, 0, 1),
    ],
)
def test_a_segment_counts_only_under_the_right_option(answer: str, accuracy: int, recall: float, failed: int) -> None:
    scores = score_grounded_choices([SAMPLE], [answer], shared_words)
    assert (scores["Acc"], scores["mRec"], scores["Failed"]) == (accuracy, recall, failed)


def test_the_similarity_is_asked_once_for_all_samples() -> None:
    calls = []

    def counted(pairs: Sequence[tuple[str, str]]) -> list[float]:
        calls.append(len(pairs))
        return shared_words(pairs)

    scores = score_choices([SAMPLE] * 3, ["green", "blue", "B"], counted)
    assert (scores["Acc"], calls) == (0.66667, [8])
