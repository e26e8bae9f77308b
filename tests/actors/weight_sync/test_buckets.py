"""Cutting parameters into buckets."""

from __future__ import annotations

import pytest
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
    bucket = pack([("vector", matrix[1]), ("matrix", matrix.bfloat16()), ("transposed", matrix.T)])
    received = dict(bucket.parameters())
    assert received.keys() == {"matrix", "transposed", "vector"}
    assert torch.equal(received["matrix"], matrix.bfloat16().float())
    assert torch.equal(received["transposed"], matrix.T)
    assert torch.equal(received["vector"], matrix[1])
    assert bucket.num_bytes == 40


def test_a_buffer_with_room_is_used_again_and_one_without_is_not() -> None:
    buffer = torch.zeros(1000)
    pack([("a", torch.full((3, 5), 7.0))], buffer)
    assert buffer[:5].tolist() == [7.0] * 5
    kept = buffer.clone()
    large = pack([("b", torch.full((2000,), 1.0))], buffer)
    assert torch.equal(buffer, kept)
    assert float(large.values.sum()) == 2000.0


@pytest.mark.parametrize("num_columns", [3, 16, 1024, 3584])
def test_matrices_of_one_width_lie_below_one_another_in_rows_of_odd_cache_lines(num_columns: int) -> None:
    run = [(name, torch.rand(shape)) for name, shape in (("q", (4, num_columns)), ("b", (4,)), ("k", (2, num_columns)))]
    q, k, b = pack(run).placements
    assert (q.name, k.name, b.name) == ("q", "k", "b")
    assert k.start == q.start + 4 * q.row_stride
    assert q.row_stride == k.row_stride >= num_columns
    assert q.row_stride % 32 == 16


def test_what_an_engine_may_fuse_stays_together_where_it_fits() -> None:
    sizes = {"l.norm": 4, "l.attn.q.weight": 2, "l.attn.k.weight": 2, "l.attn.k.bias": 2, "l.mlp.gate.weight": 9}
    runs = list(bucketed([(name, torch.zeros(size)) for name, size in sizes.items()], bucket_bytes=32))
    assert names(runs) == [["l.norm"], ["l.attn.q.weight", "l.attn.k.weight", "l.attn.k.bias"], ["l.mlp.gate.weight"]]
