"""`museg bench decode`: videos decoded beside qwen-vl-utils, and found in the caches."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from museg.config.schema import VideoConfig
from museg.errors import ConfigError

_LEAST = {"seconds": 2, "workers": 1, "repeats": 1, "seed": 0}


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "decode",
        help="videos decoded a second, beside qwen-vl-utils",
        description="The same H.264 videos to the same frames, bit by bit, at the defaults of `video`: by one thread "
        "on one core each (ratio_per_core); by a node's reward workers and by one process of qwen-vl-utils, with as "
        "many threads as it likes (ratio_vs_qwen_vl_utils). Then again from disk and from the object store.",
        epilog="example: museg bench decode --seconds 20 --json",
    )
    for option, default, meaning in (
        ("--seconds", 20, "of each video"),
        ("--workers", os.cpu_count() or 1, "reward workers"),
        ("--repeats", 3, "rounds that count"),
        ("--seed", 0, "where in the footage the videos begin"),
    ):
        parser.add_argument(option, metavar="N", type=int, default=default, help=f"{meaning} (default %(default)s)")
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError for a shape that can't be had, or without qwen-vl-utils."""
    for option, least in _LEAST.items():
        if (value := getattr(args, option)) < least:
            raise ConfigError(f"bench decode: --{option} must be at least {least} (got {value})")
    # Here, since they bring in Ray and torch.
    from actors.benchmarks.decode import measure_on_one_node
    from museg.benchmarks.decode import measure_on_one_core, qwen_vl_utils_decoder, ratio_over_all
    from museg.benchmarks.recordings import record
    from museg.benchmarks.timing import machine, ratio
    from museg.video.pixel_budget import FrameBudget

    budget = FrameBudget.from_config(VideoConfig(), evaluation=False)
    peer = qwen_vl_utils_decoder(budget)
    with tempfile.TemporaryDirectory(prefix="museg-bench-") as work:
        recordings = record(Path(work), seconds=args.seconds, seed=args.seed)
        on_a_core = measure_on_one_core(recordings, budget, peer, repeats=args.repeats)
        node = measure_on_one_node(Path(work), recordings, budget, peer, num_workers=args.workers, repeats=args.repeats)
    return {
        "ratio_vs_qwen_vl_utils": ratio(node.peer, node.workers),
        "ratio_per_core": ratio_over_all(on_a_core),
        "ratio_cached": ratio(node.workers, node.cached),
        "ratio_disk": ratio(node.workers, node.disk),
        "hit_rate": node.hit_rate,
        "frames_per_s": node.num_frames / node.workers.median_s,
        "qwen_vl_utils_frames_per_s": node.num_frames / node.peer.median_s,
        **node.workers.figures("workers"),
        **node.peer.figures("qwen_vl_utils"),
        **node.disk.figures("disk"),
        **node.cached.figures("cached"),
        "per_core": [timings.row() for timings in on_a_core],
        "workers": args.workers,
        "seconds": args.seconds,
        "repeats": args.repeats,
        "seed": args.seed,
        **machine("decord", "av", "ray", "qwen-vl-utils"),
    }
