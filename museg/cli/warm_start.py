"""`museg warm-start`: the tiny model that the quickstart trains."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Build a tiny Qwen2.5-VL and teach it on the CPU, with losses on what each second shows and on where it attends, to see
a video and to answer in the right format. DIR of the data is what `museg data synth` writes: warm_start.jsonl and
timeline.jsonl are learned from, the first samples of eval.jsonl are answered at the end. The model folder loads in
transformers and vLLM; a folder made with the same settings from the same data is reused. Its demonstrations/loose.jsonl
answers the same questions several seconds too wide: `museg sft` teaches that, so that GRPO has something to mend.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "warm-start",
        help="build and warm-start the quickstart's tiny model",
        description=DESCRIPTION,
        epilog="example: museg warm-start --data cache/data --output cache/model --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="data set of `museg data synth`")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="model folder to write")
    parser.add_argument("--seed", type=int, help="of the weights and of the order of the samples")
    parser.add_argument("--steps", type=int, help="supervised steps")
    parser.add_argument("--force", action="store_true", help="replace a model made with other settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the model and print its scores.

    Raises:
        DataError: the data set is missing or wasn't written by `museg data synth`.
        ModelError: the output folder holds something else.
    """
    from transformers.utils.logging import disable_progress_bar

    from museg.tiny_model.warm_start import WarmStartSettings, warm_start

    disable_progress_bar()
    given = {name: value for name in ("seed", "steps") if (value := getattr(args, name)) is not None}
    result = warm_start(WarmStartSettings(**given), args.data, args.output, force=args.force)
    print(result.describe())
    return 0
