"""E.T. Bench (Liu et al. 2024, arXiv 2409.18111): all scores, as the benchmark's own script computes them.

MUSEG's paper (arXiv 2505.20715) publishes REF, GND, CAP, COM and AVG. AVG is the plain mean of the four in all of its
rows. Whether CAP is the F1 or the similarity of captioning it doesn't say (museg/evaluation/published.py); the
benchmark's script prints both, and so both are here, with the average that belongs to each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

from museg.errors import DataError
from museg.evaluation.et_bench.captioning import score_captions, score_detection
from museg.evaluation.et_bench.choices import score_choices
from museg.evaluation.et_bench.complex import score_grounded_choices, score_matches
from museg.evaluation.et_bench.grounding import score_all, score_moments, score_single, score_summaries
from museg.evaluation.et_bench.java import Meteor
from museg.evaluation.et_bench.overlap import rounded
from museg.evaluation.et_bench.samples import CAPTIONING, COMPLEX, GROUNDING, REFERRING, TASKS, EtBenchSample
from museg.evaluation.et_bench.similarity import Similarity

Metrics = Mapping[str, float]
Group = tuple[list[EtBenchSample], list[str]]
"""Samples and their answers."""
Scorer = Callable[[Sequence[EtBenchSample], Sequence[str]], Metrics]

HEADLINES: Mapping[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(REFERRING, (("Acc", "Acc"),)),
    **dict.fromkeys(GROUNDING, (("F1", "F1"),)),
    **dict.fromkeys(CAPTIONING, (("F1", "F1"), ("Sim", "SentSim"))),
    **dict.fromkeys(COMPLEX, (("Rec", "mRec"),)),
}
"""Task → name in the overall row, and the metric of the task's sources that it is the mean of."""

MERGED: Mapping[str, tuple[str, ...]] = {
    "REF": tuple(f"{task.upper()} Acc" for task in REFERRING),
    "GND": tuple(f"{task.upper()} F1" for task in GROUNDING),
    "CAP F1": tuple(f"{task.upper()} F1" for task in CAPTIONING),
    "CAP Sim": tuple(f"{task.upper()} Sim" for task in CAPTIONING),
    "COM": tuple(f"{task.upper()} Rec" for task in COMPLEX),
    "AVG F1": ("REF", "GND", "CAP F1", "COM"),
    "AVG Sim": ("REF", "GND", "CAP Sim", "COM"),
}
"""Merged score → the scores that it is the mean of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScores:
    """A task on the samples of one source."""

    task: str
    source: str
    metrics: Metrics
    """Under the benchmark's names: Total, Failed, mIoU, F1@0.1 …; shares from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtBenchScores:
    """Scores from 0 to 1; what can't be computed for want of a task is left out rather than averaged over the rest."""

    sources: tuple[SourceScores, ...]
    """In the benchmark's order of tasks."""
    overall: Metrics
    """`RAR Acc` … `DVC F1`, `DVC Sim` … `GVQ Rec`: each the mean over the task's sources."""
    merged: Metrics
    """`REF`, `GND`, `CAP F1`, `CAP Sim`, `COM`, and `AVG F1`, `AVG Sim`, as far as all of their tasks are there."""

    @property
    def absent(self) -> tuple[str, ...]:
        """Tasks without samples."""
        return tuple(task for task in TASKS if all(scores.task != task for scores in self.sources))

    @property
    def captions_left_out(self) -> bool:
        """Whether there are captions that weren't compared (`captions=False`)."""
        return any(scores.task in CAPTIONING and "SentSim" not in scores.metrics for scores in self.sources)

    def flat(self) -> dict[str, float]:
        """All in one mapping, as results.json has it: `REF`, `TVG F1`, `tvg/qvhighlights/F1@0.5`."""
        by_source = {
            f"{scores.task}/{scores.source}/{name}": value
            for scores in self.sources
            for name, value in scores.metrics.items()
        }
        return {**self.merged, **self.overall, **by_source}

    @classmethod
    def from_flat(cls, flat: Metrics) -> Self:
        """What `flat` was made of."""
        sources: dict[tuple[str, str], dict[str, float]] = {}
        for name, value in flat.items():
            if "/" in name:
                task, source_and_metric = name.split("/", 1)
                source, metric = source_and_metric.rsplit("/", 1)
                sources.setdefault((task, source), {})[metric] = value
        return cls(
            sources=tuple(
                SourceScores(task=task, source=source, metrics=metrics) for (task, source), metrics in sources.items()
            ),
            overall={name: flat[name] for name in flat if "/" not in name and name not in MERGED},
            merged={name: flat[name] for name in flat if name in MERGED},
        )


def score_et_bench(
    samples: Sequence[EtBenchSample], answers: Sequence[str], similarity: Similarity, *, captions: bool = True
) -> EtBenchScores:
    """Score one answer a sample: the content of its answer tag, or an empty text if there isn't exactly one.

    `captions`: compare captions too, which needs Java. Without, DVC and SLC have their detection scores alone, and
    nothing else changes.

    Raises:
        DataError: there are no samples, or not as many answers.
        UserError: captions are to be compared and Java is missing.
    """
    if not samples or len(samples) != len(answers):
        raise DataError(f"E.T. Bench needs one answer for each sample (got {len(answers)} for {len(samples)})")
    groups = _grouped(samples, answers)
    with ExitStack() as programs:
        compare = captions and any(task in CAPTIONING for task, _ in groups)
        scorers = _scorers(similarity, programs.enter_context(Meteor()) if compare else None)
        sources = tuple(
            SourceScores(task=task, source=source, metrics=scorers[task](*group))
            for (task, source), group in groups.items()
        )
    overall = _overall(sources)
    return EtBenchScores(sources=sources, overall=overall, merged=merged_scores(overall))


def _grouped(samples: Sequence[EtBenchSample], answers: Sequence[str]) -> dict[tuple[str, str], Group]:
    """By task and source, in the benchmark's order of tasks."""
    groups: dict[tuple[str, str], Group] = {}
    for sample, answer in sorted(zip(samples, answers, strict=True), key=lambda pair: TASKS.index(pair[0].task)):
        group = groups.setdefault((sample.task, sample.source), ([], []))
        group[0].append(sample)
        group[1].append(answer)
    return groups


def _scorers(similarity: Similarity, meteor: Meteor | None) -> Mapping[str, Scorer]:
    return {
        **dict.fromkeys(REFERRING, partial(score_choices, similarity=similarity)),
        **dict.fromkeys(("tvg", "epm"), score_single),
        "tal": score_all,
        "evs": score_summaries,
        "vhd": score_moments,
        **dict.fromkeys(CAPTIONING, partial(_score_captioning, similarity=similarity, meteor=meteor)),
        "tem": score_matches,
        "gvq": partial(score_grounded_choices, similarity=similarity),
    }


def _score_captioning(
    samples: Sequence[EtBenchSample], answers: Sequence[str], similarity: Similarity, meteor: Meteor | None
) -> Metrics:
    detection = score_detection(samples, answers)
    return detection if meteor is None else detection | score_captions(samples, answers, similarity, meteor)


def _overall(sources: Sequence[SourceScores]) -> dict[str, float]:
    overall = {}
    for task, headlines in HEADLINES.items():
        for name, metric in headlines:
            values = [scores.metrics[metric] for scores in sources if scores.task == task and metric in scores.metrics]
            if values:
                overall[f"{task.upper()} {name}"] = rounded(sum(values) / len(values))
    return overall


def merged_scores(overall: Metrics) -> dict[str, float]:
    """Scores of the abilities and their averages, as far as all of their tasks are there."""
    known = dict(overall)
    for name, parts in MERGED.items():
        if all(part in known for part in parts):
            known[name] = rounded(sum(known[part] for part in parts) / len(parts))
    return {name: known[name] for name in MERGED if name in known}
