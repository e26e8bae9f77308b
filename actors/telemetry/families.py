"""Prometheus metrics of labelled values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Sample = tuple[Mapping[str, str], float]
"""Labels and value; all of a metric's samples have the same labels."""


def gauge(name: str, documentation: str, samples: Sequence[Sample]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=_labels(samples))
    for labels, value in samples:
        family.add_metric(list(labels.values()), value)
    return family


def counter(name: str, documentation: str, samples: Sequence[Sample]) -> CounterMetricFamily:
    """`name` without the `_total` that the page gives it."""
    family = CounterMetricFamily(name, documentation, labels=_labels(samples))
    for labels, value in samples:
        family.add_metric(list(labels.values()), value)
    return family


def role_of(worker: str) -> str:
    """`generation` of `generation-0`."""
    return worker.rpartition("-")[0] or worker


def _labels(samples: Sequence[Sample]) -> list[str]:
    return list(samples[0][0]) if samples else []
