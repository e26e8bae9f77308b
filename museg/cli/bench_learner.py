"""`museg bench learner`: a group's forward and backward, its prompt shared against its prompt repeated."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping

from museg.errors import ConfigError

_ROOM_OF_THE_PROMPT = 24
"""Tokens of the shortest prompt: a video of 2 × 2 × 2 and some text."""


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the bench to `museg bench`."""
    parser = benches.add_parser(
        "learner",
        help="forward and backward of a group against G rows of their own, and against TRL",
        description="Forward and backward of one group under a Qwen2.5-VL of random weights: packed with its prompt "
        "and video once, as the learner does it; naively, as G rows with prompt and pixels each; by TRL's GRPOTrainer.",
        epilog="example: museg bench learner --prompt-tokens 3500 --completion-tokens 256 --repeats 1 --json",
    )
    parser.add_argument(
        "--prompt-tokens", metavar="P", type=int, default=800, help="visual included; default %(default)s"
    )
    parser.add_argument("--completion-tokens", metavar="C", type=int, default=48, help="default %(default)s")
    parser.add_argument("--group-size", metavar="G", type=int, default=8, help="default %(default)s")
    parser.add_argument("--repeats", metavar="N", type=int, default=3, help="timed steps a way; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="CPU threads; default %(default)s")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default %(default)s")
    parser.add_argument(
        "--model-shape", choices=["bench", "3b", "7b"], default="bench", help="sizes of the model; default %(default)s"
    )
    parser.add_argument("--layers", metavar="N", type=int, help="text layers to keep, to save memory; default: all")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: float32, on cuda bfloat16")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="in all ways")
    parser.add_argument("--with-reference", action="store_true", help="also a forward without gradient, in all ways")
    parser.add_argument("--table", action="store_true", help="also G = 2, 4, 8, 16")
    parser.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, default=True, help="peak memory, in processes of their own"
    )
    parser.add_argument(
        "--trl", action=argparse.BooleanOptionalAction, default=None, help="TRL's trainer too; default: if installed"
    )
    parser.set_defaults(measure=measure)
    return parser


def measure(args: argparse.Namespace) -> Mapping[str, object]:
    """The figures. Raises ConfigError for a shape that can't be, a device that isn't there, or too little memory."""
    _refuse_nonsense(args)
    import torch

    from museg.benchmarks.learner.figures import measure_learner
    from museg.benchmarks.learner.material import LearnerWork

    if args.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("bench learner: --device cuda, but torch sees no CUDA device: take --device cpu")
    work = LearnerWork(
        model_shape=args.model_shape,
        layers=args.layers,
        prompt_tokens=args.prompt_tokens,
        completion_tokens=args.completion_tokens,
        group_size=args.group_size,
        seed=args.seed,
        threads=args.threads,
        device=args.device,
        dtype=getattr(torch, args.dtype or ("bfloat16" if args.device == "cuda" else "float32")),
        gradient_checkpointing=args.gradient_checkpointing,
        with_reference=args.with_reference,
    )
    try:
        return measure_learner(work, repeats=args.repeats, table=args.table, memory=args.memory, trl=_with_trl(args))
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            "bench learner: the device's memory is too small for this shape: cut --layers or --group-size, or add "
            "--gradient-checkpointing"
        ) from error


def _refuse_nonsense(args: argparse.Namespace) -> None:
    least = {
        "prompt_tokens": _ROOM_OF_THE_PROMPT,
        "completion_tokens": 1,
        "group_size": 2,
        "repeats": 1,
        "threads": 1,
        "layers": 1,
    }
    for name, bound in least.items():
        value = getattr(args, name)
        if value is not None and value < bound:
            raise ConfigError(f"bench learner: --{name.replace('_', '-')} must be at least {bound} (got {value})")


def _with_trl(args: argparse.Namespace) -> bool:
    installed = importlib.util.find_spec("trl") is not None
    if args.trl and not installed:
        raise ConfigError("bench learner: --trl, but TRL isn't installed: pip install 'museg[bench]'")
    return installed if args.trl is None else bool(args.trl)
