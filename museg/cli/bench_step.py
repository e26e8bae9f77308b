"""`museg bench step`: completions a second of whole GRPO steps, beside TRL's."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from museg.errors import ConfigError


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "step",
        help="completions a second of whole GRPO steps, beside TRL's GRPOTrainer",
        description="Train a random tiny Qwen2.5-VL for a few steps by the service and by TRL: same prompts, rewards "
        "and sampling, same two cores, float32, KL reference on both. TRL takes no video: every two frames, which "
        "share their visual tokens, are an image of its own, decoded beforehand. Needs the extra museg[bench].",
        epilog="example: museg bench step --prompt-tokens 400 --prompts 2 --json",
    )
    parser.add_argument(
        "--prompt-tokens",
        metavar="N",
        type=int,
        default=800,
        help="of a prompt, its video included (default %(default)s)",
    )
    parser.add_argument(
        "--completion-tokens", metavar="N", type=int, default=48, help="of the longest completion (default %(default)s)"
    )
    parser.add_argument("--group-size", metavar="G", type=int, default=8, help="default %(default)s")
    parser.add_argument("--prompts", metavar="P", type=int, default=2, help="of a step (default %(default)s)")
    parser.add_argument("--repeats", metavar="N", type=int, default=2, help="steps that count (default %(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default %(default)s")
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError for a shape that can't be had, or without TRL."""
    for option, least in (("completion_tokens", 1), ("group_size", 2), ("prompts", 1), ("repeats", 1), ("seed", 0)):
        if (value := getattr(args, option)) < least:
            raise ConfigError(f"bench step: --{option.replace('_', '-')} must be at least {least} (got {value})")
    if os.environ.get("RAY_ADDRESS"):
        raise ConfigError("bench step: RAY_ADDRESS names a cluster, and both sides must have the same cores: unset it")
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"bench step: TRL can't be imported ({error}): pip install 'museg[bench]'") from error
    # Here, since they bring in Ray and torch.
    from actors.benchmarks.step import StepShape, measure_step
    from museg.benchmarks.timing import machine

    shape = StepShape(
        prompt_tokens=args.prompt_tokens,
        completion_tokens=args.completion_tokens,
        group_size=args.group_size,
        num_prompts=args.prompts,
        repeats=args.repeats,
        seed=args.seed,
    )
    with tempfile.TemporaryDirectory(prefix="museg-bench-") as work:
        figures = measure_step(shape, Path(work))
    return {**machine("deepspeed", "ray", "trl"), **figures}
