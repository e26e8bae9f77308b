from __future__ import annotations

from pathlib import Path

import pytest

from museg.errors import ModelError
from museg.evaluation.et_bench.similarity import SentenceSimilarity


def test_texts_that_say_the_same_are_more_alike() -> None:
    similarity = SentenceSimilarity()
    same, close, far = similarity(
        [
            ("a man opens the door",) * 2,
            ("a man opens the door", "(A) someone opens a door"),
            ("a man opens the door", "qwertzuiopas"),
        ]
    )
    assert same == pytest.approx(1, abs=1e-5)
    # By sentence-transformers' own dot_score of two single embeddings.
    assert close == pytest.approx(0.7114, abs=1e-3)
    assert far < 0.1
    assert similarity([("a man opens the door", "qwertzuiopas")]) == [far]


def test_a_folder_without_a_model_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"isn't the folder of a sentence-transformers model"):
        SentenceSimilarity(tmp_path)
