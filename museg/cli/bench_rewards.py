"""`museg bench rewards`: how fast completions are scored."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping

from museg.config.choices import RewardPreset
from museg.config.schema import RewardConfig
from museg.errors import ConfigError
from museg.rewards.scoring import Scorer
from museg.scoring.speed import measure_rewards


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "rewards",
        help="completions scored a second",
        description="Score varied completions on one core; ratio is how many times as fast as 4,096 in a second.",
        epilog="example: museg bench rewards --completions 4096 --preset robust --json",
    )
    parser.add_argument("--completions", metavar="N", type=int, default=4096, help="default %(default)s")
    parser.add_argument(
        "--preset",
        choices=[preset.value for preset in RewardPreset],
        default=RewardPreset.reference.value,
        help="rules of the rewards (default %(default)s)",
    )
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError without completions."""
    if args.completions < 1:
        raise ConfigError(f"bench rewards: --completions must be at least 1 (got {args.completions})")
    scorer = Scorer.from_config(RewardConfig(preset=RewardPreset(args.preset)))
    speed = measure_rewards(scorer, args.completions)
    return {
        "preset": args.preset,
        **dataclasses.asdict(speed),
        "completions_per_s": speed.completions_per_s,
        "ratio": speed.ratio,
    }
