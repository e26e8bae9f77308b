"""`museg sft`: supervised fine-tuning as a configuration says."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Fine-tune the model on the answers of data.train: a sample's `response`, or without one its annotated segments written
as the answer that earns the full format reward. Same learner, checkpoints and run directory as `museg train`, without
generators; sft.steps and sft.batch_size say how long, and the keys of grpo, generation and eval aren't used, but for
generation.max_model_len, the longest prompt.
"""

EXAMPLE = """\
examples:
  museg sft configs/sft.yaml model.path=/models/Qwen2.5-VL-7B-Instruct data.video_root=/videos run.name=first
  museg sft configs/sft.yaml learner.ranks=4 sft.batch_size=16 learner.lr=1e-5
  ray job submit --working-dir . --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "40"}}' -- \\
      python -m museg sft configs/sft.yaml run.root=/shared/runs

checkpoints/step-NNNNNN/hf of the run is a model.path for `museg train` and `museg eval`. A run whose directory exists
goes on after its newest checkpoint (resume=auto). Ctrl-C finishes the step, writes a checkpoint and exits with 130.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sft",
        help="fine-tune on annotated answers",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file; museg/config/keys/ has every key")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a key of the configuration")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from museg.cli import exit_codes
    from museg.config.supervised import load_supervised_config

    config = load_supervised_config(args.config, args.overrides)  # before the engines' slow imports
    from actors.supervised.run import run_supervised

    summary = run_supervised(config, Console())
    return exit_codes.INTERRUPTED if summary.status == "interrupted" else 0
