"""`museg train`: GRPO as a configuration says."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = """\
examples:
  museg train configs/quickstart.yaml
  museg train configs/stage_1.yaml model.path=/models/Qwen2.5-VL-7B-Instruct data.video_root=/videos run.name=first
  museg train configs/two_stages.yaml model.path=/models/Qwen2.5-VL-7B-Instruct data.video_root=/videos run.name=both
  museg train configs/quickstart.yaml run.name=hot 'phases=[{name: a, steps: 60}, {name: b, steps: 20, lr: 1e-3}]'
  ray job submit --working-dir . --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "40"}}' -- \\
      python -m museg train configs/stage_1.yaml run.root=/shared/runs

With RAY_ADDRESS set (as in a submitted job) the run uses that cluster, otherwise it starts a local Ray and stops it at
the end. A run whose directory exists goes on after its newest whole checkpoint (resume=auto). Ctrl-C or SIGTERM
finishes the step if recovery.grace_s allows for it, writes a checkpoint and exits with 130; a second one ends at once.
With phases, one run changes rewards, template, data, learning rate or KL penalty on the way: each phase starts from the
weights that the one before left.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "train",
        help="train by GRPO",
        description="Train by GRPO as CONFIG says.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file; museg/config/keys/ has every key")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a key of the configuration")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from museg.cli import exit_codes
    from museg.config.loading import load_config

    config = load_config(args.config, args.overrides)  # before the engines' slow imports
    from actors.launch import run_training

    summary = run_training(config, Console())
    return exit_codes.INTERRUPTED if summary.status == "interrupted" else 0
