"""`museg plan`: what a run would cost, before it starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from museg.config.loading import load_config
from museg.errors import ConfigError

GPU_NAMES = ("a100-40", "a100-80", "l40s", "h100", "h200", "b200")
SHAPE_NAMES = ("3b", "7b")

DESCRIPTION = """\
Estimate a run from its configuration: a step's time and memory on a GPU type, hours and cost of all phases, and how
other splits of the GPUs would do. Operations are counted; that GPUs keep a share of their promised speed is assumed.
"""

EXAMPLES = """\
examples:
  museg plan configs/stage_1.yaml --model-shape 7b
  museg plan configs/two_stages.yaml --model-shape 7b --gpu h100 --gpus 16 --price 2.5
  museg plan configs/stage_1.yaml policy.freeze_vision=true pipeline.staleness=1 --model-shape 3b --json
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "plan",
        help="estimate time, memory and cost of a run",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file, as for museg train")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a key of the configuration")
    parser.add_argument("--gpu", choices=GPU_NAMES, default="a100-80", help="GPU type (default %(default)s)")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs at hand (default: what the workers ask for)")
    parser.add_argument("--price", type=float, metavar="USD", help="of one GPU for an hour")
    parser.add_argument(
        "--model-shape", choices=SHAPE_NAMES, help="of the published Qwen2.5-VL, where model.path isn't there yet"
    )
    parser.add_argument(
        "--video-seconds", type=float, metavar="S", default=30.0, help="mean length of a video (default %(default)g)"
    )
    parser.add_argument(
        "--video-tokens", type=int, metavar="N", help="visual tokens of a video (default: as 640 × 480 pixels give)"
    )
    parser.add_argument(
        "--completion-tokens", type=int, metavar="N", help="mean length of a completion (default 256 at most)"
    )
    parser.add_argument(
        "--mfu", type=float, metavar="SHARE", default=0.4, help="of peak operations reached (default %(default)g)"
    )
    parser.add_argument(
        "--bandwidth-share",
        type=float,
        metavar="SHARE",
        default=0.6,
        help="of the memory's bandwidth reached while decoding (default %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the estimate as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate and print; warnings don't change the exit code.

    Raises:
        ConfigError: the configuration can't be run, or an option is out of its bounds.
        ModelError: the model folder isn't there and --model-shape isn't given.
    """
    _check(args)
    # Reading a model's configuration imports transformers, which `museg --help` needn't wait for.
    from museg.cli.plan_tables import plan_json, print_plan
    from museg.planning.gpus import GPUS, Efficiency
    from museg.planning.model_shape import MODEL_SHAPES, ModelShape
    from museg.planning.run_plan import plan_run
    from museg.planning.workload import Footage

    config = load_config(args.config, args.overrides)
    model = MODEL_SHAPES[args.model_shape] if args.model_shape else ModelShape.from_folder(Path(config.model.path))
    plan = plan_run(
        config,
        model,
        GPUS[args.gpu],
        efficiency=Efficiency(compute=args.mfu, bandwidth=args.bandwidth_share),
        footage=Footage.typical(config.video, args.video_seconds, args.video_tokens),
        completion_tokens=args.completion_tokens,
        num_gpus=args.gpus,
    )
    if args.json:
        print(json.dumps(plan_json(plan, args.price)))
    else:
        print_plan(plan, args.price, Console())
    return 0


def _check(args: argparse.Namespace) -> None:
    for name, value in (("--mfu", args.mfu), ("--bandwidth-share", args.bandwidth_share)):
        if not 0 < value <= 1:
            raise ConfigError(f"plan: {name} must be above 0 and at most 1 (got {value:g})")
    if args.price is not None and not 0 <= args.price < float("inf"):
        raise ConfigError(f"plan: --price must be 0 or more (got {args.price:g})")
