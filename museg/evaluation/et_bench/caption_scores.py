"""How well captions are worded: pycocoevalcap's metrics and sentence similarity, per video and on average."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from museg.evaluation.et_bench.java import CaptionPair, Meteor, tokenize
from museg.evaluation.et_bench.similarity import Similarity

BLEU_ORDERS = 4
METRICS = (*(f"Bleu_{order + 1}" for order in range(BLEU_ORDERS)), "METEOR", "ROUGE_L", "CIDEr", "SentSim")


def caption_scores(videos: Sequence[Sequence[CaptionPair]], similarity: Similarity, meteor: Meteor) -> dict[str, float]:
    """Metric → mean over videos of the score of each one's pairs (at least one); CIDEr's document frequencies too are
    those of one video. Needs Java."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    videos = _tokenized(videos)
    bleu, rouge, cider = Bleu(BLEU_ORDERS), Rouge(), Cider()
    rows = []
    for pairs in videos:
        references = {number: [pair.reference] for number, pair in enumerate(pairs)}
        predicted = {number: [pair.predicted] for number, pair in enumerate(pairs)}
        rows.append(
            [
                *bleu.compute_score(references, predicted, verbose=0)[0],
                meteor.score(pairs),
                rouge.compute_score(references, predicted)[0],
                cider.compute_score(references, predicted)[0],
            ]
        )
    means = [*np.mean(rows, axis=0).tolist(), _mean_similarity(videos, similarity)]
    return dict(zip(METRICS, means, strict=True))


def _tokenized(videos: Sequence[Sequence[CaptionPair]]) -> list[list[CaptionPair]]:
    texts = list({text: None for pairs in videos for pair in pairs for text in (pair.predicted, pair.reference)})
    tokenized = dict(zip(texts, tokenize(texts), strict=True))
    return [
        [CaptionPair(predicted=tokenized[pair.predicted], reference=tokenized[pair.reference]) for pair in pairs]
        for pairs in videos
    ]


def _mean_similarity(videos: Sequence[Sequence[CaptionPair]], similarity: Similarity) -> float:
    alike = iter(similarity([(pair.reference, pair.predicted) for pairs in videos for pair in pairs]))
    return float(np.mean([np.mean([next(alike) for _ in pairs]) for pairs in videos]))
