from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor as TheirMeteor
from pycocoevalcap.rouge.rouge import Rouge

from museg.errors import UserError
from museg.evaluation.et_bench import java
from museg.evaluation.et_bench.captioning import score_captions, score_detection
from museg.evaluation.et_bench.java import CaptionPair, Meteor, tokenize
from museg.evaluation.et_bench.scoring import score_et_bench
from tests.museg.evaluation.et_bench.made import captioned

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="captions are scored by Java programs: no `java`")

DOOR, DOG, CUP = "a man opens the old door", "the dog runs across the yard", "she pours water in a cup"
SAMPLES = [
    captioned((0, 10, DOOR), (10, 20, DOG), idx=0),
    captioned((0, 10, CUP), (0, 8, DOG), idx=1),
    captioned((0, 5, CUP), idx=2),
]
ANSWERS = [
    "0 - 10 seconds, A man opens a door!\n10 - 16 seconds, the dogs run across a yard.",
    "0 - 10 seconds, she pours some water in the cup\n50 - 60 seconds, nobody is here",
    "I see nothing",
]


def word_overlap(pairs: Sequence[tuple[str, str]]) -> list[float]:
    return [len(set(a.split()) & set(b.split())) / len(set(a.split()) | set(b.split())) for a, b in pairs]


def test_detection_is_the_f1_of_mean_precision_and_recall() -> None:
    scores = score_detection(SAMPLES, ANSWERS)
    # First video: both found up to 0.5, one at 0.7. Second: one caption of two finds both events (IoU 1 and 0.8).
    loose, strict = 2 * (1.5 * 2) / (1.5 + 2) / 3, 2 * (1.0 * 1.5) / (1.0 + 1.5) / 3
    assert (scores["Total"], scores["Failed"]) == (3, 1)
    assert [scores[f"F1@{t}"] for t in (0.1, 0.3, 0.5, 0.7)] == pytest.approx([loose] * 3 + [strict], abs=1e-5)
    assert scores["F1"] == pytest.approx((3 * loose + strict) / 4, abs=1e-5)


def test_an_overlap_of_exactly_the_threshold_does_not_detect() -> None:
    assert score_detection([captioned((0, 10, DOOR))], ["0 - 5 seconds, it opens"])["F1@0.5"] == 0


def test_of_two_samples_of_one_video_the_last_counts() -> None:
    samples = [captioned((0, 10, DOOR), idx=0, video="v.mp4"), captioned((0, 10, DOOR), idx=1, video="v.mp4")]
    assert score_detection(samples, ["50 - 60 seconds, it opens", "0 - 10 seconds, it opens"])["F1"] == 0.5


def _by_hand(meteor: TheirMeteor, *pairs: tuple[str, str]) -> list[float]:
    """pycocoevalcap's scores and the similarity of one video's tokenized (predicted, reference) captions."""
    predicted = {number: [pair[0]] for number, pair in enumerate(pairs)}
    references = {number: [pair[1]] for number, pair in enumerate(pairs)}
    return [
        *Bleu(4).compute_score(references, predicted, verbose=0)[0],
        meteor.compute_score(references, predicted)[0],
        Rouge().compute_score(references, predicted)[0],
        Cider().compute_score(references, predicted)[0],
        float(np.mean(word_overlap([(reference, prediction) for prediction, reference in pairs]))),
    ]


@needs_java
@pytest.mark.slow  # METEOR starts twice
def test_caption_scores_are_those_of_pycocoevalcap_averaged_over_videos_and_thresholds() -> None:
    opens, runs = ("a man opens a door", DOOR), ("the dogs run across a yard", DOG)
    pours, pours_dog = (("she pours some water in the cup", reference) for reference in (CUP, DOG))
    noise = ["mqkzjwvxypqh", "zqxjkvwpyqhm"]
    nobody, unmatched = ("nobody is here", noise[0]), ("the dogs run across a yard", noise[1])
    theirs, meteor = TheirMeteor(), Meteor()
    found = _by_hand(theirs, opens, runs)
    expected = [
        # The dogs overlap by 0.6, less than the last threshold; nobody overlaps anything.
        *[found] * 3,
        _by_hand(theirs, opens, unmatched),
        *[_by_hand(theirs, pours, pours_dog, nobody)] * 4,
    ]
    compared = []

    def remembered(pairs: Sequence[tuple[str, str]]) -> list[float]:
        compared.append(pairs)
        return word_overlap(pairs)

    with meteor:
        scores = score_captions(SAMPLES, ANSWERS, remembered, meteor)
        assert score_captions(SAMPLES, ANSWERS, remembered, meteor) == scores
    letters = {reference for reference, _ in compared[0] if " " not in reference}
    assert compared[1] == compared[0]
    assert [10 <= len(word) <= 20 for word in letters] == [True, True]
    names = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr", "SentSim"]
    assert list(scores) == names
    # Other letters stand for "no caption" here: neither's match any word, so these scores don't depend on them.
    assert [scores[name] for name in names] == pytest.approx(np.mean(expected, axis=0).tolist(), abs=1.1e-5)
    assert scores["METEOR"] > 0.2
    assert scores["CIDEr"] > 0.1


@needs_java
def test_captions_are_tokenized_into_lower_case_words() -> None:
    captions = ["A man, a PLAN: (canal)!", "", "don't\nstop — café", "..."]
    assert tokenize(captions) == ["a man a plan -lrb- canal -rrb-", "", "do n't stop caf", ""]


@needs_java
def test_meteor_that_does_not_answer_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "METEOR_DEADLINE_S", 0.1)
    with Meteor() as meteor, pytest.raises(UserError, match=r"METEOR ended \(exit code -9\), or took over 0\.1 s"):
        meteor.score([CaptionPair(predicted="a dog", reference="a dog")])


def test_without_java_captions_are_refused_in_one_line_and_detection_still_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^E\.T\. Bench captions .* no `java` on PATH: install .*, or score without"):
        score_et_bench(SAMPLES, ANSWERS, word_overlap)
    scores = score_et_bench(SAMPLES, ANSWERS, word_overlap, captions=False)
    assert scores.sources[0].metrics == score_detection(SAMPLES, ANSWERS)
    assert list(scores.overall) == ["DVC F1"]
