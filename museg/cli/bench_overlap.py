"""`museg bench overlap`: generation and learning at the same time, and generators beside each other."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from museg.errors import ConfigError

_LEAST = {
    "completion_tokens": 1,
    "group_size": 2,
    "prompts": 2,
    "prompts_of_two": 2,
    "groups_at_once": 1,
    "repeats": 1,
    "seed": 0,
    "hidden_size": 128,
    "layers": 1,
    "stop_tokens": 0,
}


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "overlap",
        help="what a step takes when generation and learning overlap, each on its own core",
        description="The trainer's own steps with a generator on one core and the learner on another: phase by phase, "
        "streaming, and sampling a step ahead; then a second generator on the learner's core, the learner at rest. "
        "Completions of a random model end at any of several tokens, so their lengths differ.",
        epilog="example: museg bench overlap --repeats 5 --json",
    )
    for option, metavar, default, meaning in (
        ("--prompt-tokens", "N", 256, "of a prompt, its video included"),
        ("--completion-tokens", "N", 96, "of the longest completion"),
        ("--group-size", "G", 8, "completions of a prompt"),
        ("--prompts", "P", 6, "of a step"),
        ("--prompts-of-two", "P", 16, "of a sampling that two generators share"),
        ("--groups-at-once", "N", 2, "sampled side by side by one generator"),
        ("--repeats", "N", 3, "steps that count"),
        ("--seed", "N", 0, "of model, videos and samples"),
        ("--hidden-size", "N", 256, "of the model, a multiple of 64"),
        ("--layers", "N", 8, "of the model"),
        ("--stop-tokens", "N", 8, "of the vocabulary that end a completion"),
    ):
        parser.add_argument(option, metavar=metavar, type=int, default=default, help=f"{meaning} (default %(default)s)")
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError for a shape that can't be had, or on a cluster."""
    for option, least in _LEAST.items():
        if (value := getattr(args, option)) < least:
            raise ConfigError(f"bench overlap: --{option.replace('_', '-')} must be at least {least} (got {value})")
    if args.hidden_size % 64:
        raise ConfigError(f"bench overlap: --hidden-size must be a multiple of 64 (got {args.hidden_size})")
    if os.environ.get("RAY_ADDRESS"):
        raise ConfigError(
            "bench overlap: RAY_ADDRESS names a cluster, whose processes can't be pinned to cores: unset it"
        )
    # Here, since they bring in Ray and torch.
    from actors.benchmarks.material import ModelShape
    from actors.benchmarks.overlap import OverlapShape, measure_overlap
    from museg.benchmarks.timing import machine

    model = ModelShape(hidden_size=args.hidden_size, num_layers=args.layers, num_stop_tokens=args.stop_tokens)
    shape = OverlapShape(
        prompt_tokens=args.prompt_tokens,
        completion_tokens=args.completion_tokens,
        group_size=args.group_size,
        num_prompts=args.prompts,
        num_prompts_of_two=args.prompts_of_two,
        groups_at_once=args.groups_at_once,
        repeats=args.repeats,
        seed=args.seed,
        model=model,
    )
    with tempfile.TemporaryDirectory(prefix="museg-bench-") as work:
        return {**machine("deepspeed", "ray"), **measure_overlap(shape, Path(work))}
