"""Buckets in memory that two processes share."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from actors.weight_sync.buckets import NamedParameter, packed_values
from actors.weight_sync.segments import NUM_SEGMENTS, SegmentMap, SegmentRing, SharedBucket


def run_of(value: float) -> list[NamedParameter]:
    return [("w", torch.full((5, 20), value)), ("b", torch.full((7,), -value))]


def _read(pipe: Connection) -> None:
    segments = SegmentMap()
    while (shared := pipe.recv()) is not None:
        pipe.send({name: value.tolist() for name, value in segments.bucket(shared).parameters()})


def values(segments: SegmentMap, shared: SharedBucket) -> set[float]:
    return {float(value.unique()) for _, value in segments.bucket(shared).parameters()}


def test_another_process_reads_the_values_where_they_were_packed() -> None:
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=_read, args=(there,))
    reader.start()
    ring = SegmentRing(packed_values(run_of(0.0)))
    # More than once round, so that it sees new values in memory that it had mapped before.
    for value in map(float, range(1, 2 * NUM_SEGMENTS)):
        here.send(ring.pack(run_of(value)))
        assert here.recv() == {"w": [[value] * 20] * 5, "b": [-value] * 7}
    here.send(None)
    reader.join(10)
    assert reader.exitcode == 0


def test_a_bucket_stays_until_as_many_more_as_there_are_segments_have_been_packed() -> None:
    ring, segments = SegmentRing(packed_values(run_of(0.0))), SegmentMap()
    buckets = [ring.pack(run_of(float(value))) for value in range(1, NUM_SEGMENTS + 1)]
    assert [values(segments, bucket) for bucket in buckets] == [{1.0, -1.0}, {2.0, -2.0}, {3.0, -3.0}]
    ring.pack(run_of(9.0))
    assert [values(segments, bucket) for bucket in buckets] == [{9.0, -9.0}, {2.0, -2.0}, {3.0, -3.0}]


def test_a_segment_is_held_as_long_as_updates_use_it() -> None:
    small, large = SegmentRing(packed_values(run_of(0.0))), SegmentRing(2 * packed_values(run_of(0.0)))
    by_learners = num_mappings()
    segments = SegmentMap()
    for value in range(1, NUM_SEGMENTS + 1):
        segments.bucket(small.pack(run_of(float(value))))
    segments.forget_unused()
    assert num_mappings() == by_learners + NUM_SEGMENTS
    assert values(segments, large.pack(run_of(5.0))) == {5.0, -5.0}
    segments.forget_unused()
    assert num_mappings() == by_learners + 1


def num_mappings() -> int:
    """Of segments, in this process."""
    return Path("/proc/self/maps").read_text().count("museg-weights")


def test_a_bucket_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="and a segment room for 10"):
        SegmentRing(10).pack(run_of(1.0))


def test_a_bucket_names_the_bytes_of_its_parameters() -> None:
    assert SegmentRing(1000).pack(run_of(1.0)).num_bytes == 4 * 107
