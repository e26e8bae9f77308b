"""Cutting parameters into buckets."""

from __future__ import annotations

import numpy as np
import torch

from actors.weight_sync.buckets import bucketed, pack


def named(**sizes: int) -> list[tuple[str, torch.Tensor]]:
    return [(name, torch.full((size,), float(index))) for index, (name, size) in enumerate(sizes.items())]


def names(runs: list[list[tuple[str, torch.Tensor]]]) -> list[list[str]]:
    return [[name for name, _ in run] for run in runs]


def test_runs_are_as_long_as_the_bucket_allows_and_keep_the_order() -> None:
    runs = list(bucketed(named(a=4, b=4, c=2, d=6, e=1), bucket_bytes=32))
    assert names(runs) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_parameter_over_the_limit_travels_alone() -> None:
    runs = list(bucketed(named(a=1, b=100, c=1), bucket_bytes=32))
    assert names(runs) == [["a"], ["b"], ["c"]]


def test_half_precision_counts_as_the_float32_that_travels() -> None:
    halves = [(name, tensor.bfloat16()) for name, tensor in named(a=4, b=4, c=4)]
    assert names(list(bucketed(halves, bucket_bytes=32))) == [["a", "b"], ["c"]]


def test_sharded_parameters_are_cut_where_whole_ones_are() -> None:
    whole = named(a=4, b=4, c=2, d=6, e=1)
    sharded = [(name, torch.nn.Parameter(torch.empty(0))) for name, _ in whole]
    for (_, part), (_, tensor) in zip(sharded, whole, strict=True):
        part.ds_shape = tensor.shape
    assert names(list(bucketed(sharded, bucket_bytes=32))) == names(list(bucketed(whole, bucket_bytes=32)))


def test_no_parameters_make_no_bucket() -> None:
    assert list(bucketed([], bucket_bytes=32)) == []


def test_a_bucket_holds_exact_float32_values_under_their_names() -> None:
    matrix = torch.tensor([[1.0, -2.5], [0.1, 3e30]])
    bucket = pack([("matrix", matrix.bfloat16()), ("transposed", matrix.T)])
    assert bucket.names == ("matrix", "transposed")
    assert [array.dtype for array in bucket.arrays] == [np.float32, np.float32]
    np.testing.assert_array_equal(bucket.arrays[0], matrix.bfloat16().float().numpy())
    np.testing.assert_array_equal(bucket.arrays[1], matrix.T.numpy())
    assert bucket.num_bytes == 32
