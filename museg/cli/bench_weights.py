"""`museg bench weights`: how fast the learner's weights reach the generators."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from museg.errors import ConfigError


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "weights",
        help="one publication of the weights, beside a copy of their bytes in memory",
        description="Publish a random float32 Qwen2.5-VL from a learner's rank to vLLM engines, through memory that "
        "they share, and copy as many bytes from one warm piece of memory to another by one thread, in turn. "
        "ratio_vs_memcpy is the median of their ratios. prepack_vs_memcpy is that of packing the matrices as vLLM on "
        "CPU computes with them, by one thread in one process. logprob_gap compares a generator after the last "
        "publication with the learner.",
        epilog="example: museg bench weights --generators 2 --json",
    )
    parser.add_argument(
        "--hidden-size",
        metavar="N",
        type=int,
        default=1024,
        help="of the language model, a multiple of 256 (default %(default)s)",
    )
    parser.add_argument(
        "--layers", metavar="N", type=int, default=8, help="of the language model (default %(default)s: 100 M weights)"
    )
    parser.add_argument("--bucket-mib", metavar="N", type=int, default=48, help="sync.bucket_mib (default %(default)s)")
    parser.add_argument("--generators", metavar="N", type=int, default=1, help="default %(default)s")
    parser.add_argument(
        "--zero-stage", metavar="N", type=int, default=0, help="learner.zero_stage (default %(default)s)"
    )
    parser.add_argument("--repeats", metavar="N", type=int, default=9, help="default %(default)s")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default %(default)s")
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError for a shape that can't be had."""
    for option, least in (("layers", 1), ("bucket_mib", 1), ("generators", 1), ("repeats", 1), ("seed", 0)):
        if (value := getattr(args, option)) < least:
            raise ConfigError(f"bench weights: --{option.replace('_', '-')} must be at least {least} (got {value})")
    if args.hidden_size < 256 or args.hidden_size % 256:
        raise ConfigError(f"bench weights: --hidden-size must be a multiple of 256 (got {args.hidden_size})")
    if args.zero_stage not in range(4):
        raise ConfigError(f"bench weights: --zero-stage must be 0, 1, 2 or 3 (got {args.zero_stage})")
    # Here, since they bring in Ray and torch.
    from actors.benchmarks.weights import SyncShape, measure_sync
    from museg.benchmarks.timing import machine

    shape = SyncShape(
        hidden_size=args.hidden_size,
        num_layers=args.layers,
        bucket_mib=args.bucket_mib,
        generators=args.generators,
        zero_stage=args.zero_stage,
        repeats=args.repeats,
        seed=args.seed,
    )
    with tempfile.TemporaryDirectory(prefix="museg-bench-") as work:
        figures = measure_sync(shape, Path(work))
    return {**machine("deepspeed", "ray", "vllm"), **figures}
