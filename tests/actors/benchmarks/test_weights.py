"""The bench of weight publications at a tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.benchmarks.weights import SyncShape, measure_sync

pytestmark = pytest.mark.slow


def test_what_is_published_is_what_the_generator_then_samples_with(tmp_path: Path) -> None:
    shape = SyncShape(hidden_size=256, num_layers=2, bucket_mib=1, generators=1, zero_stage=0, repeats=1, seed=0)
    figures = measure_sync(shape, tmp_path)
    assert figures["num_bytes"] > 4 * 2 * 256 * 3 * 704
    assert figures["logprob_gap"] < 1e-4
    assert figures["ratio_vs_memcpy"] == pytest.approx(figures["sync_s"] / figures["memcpy_s"])
    assert figures["prepack_vs_memcpy"] > 0.5
