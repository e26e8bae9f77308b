"""`museg rollout`: sample completions to the training prompts, without training."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from museg.cli.run_config import config_from, model_name
from museg.cli.words import let_words_stand_between_options
from museg.errors import ConfigError

if TYPE_CHECKING:
    from actors.rollout.rollout_run import RolloutSummary

DESCRIPTION = """\
Sample groups of completions to the training prompts and score them, with a model as it stands: what a run's first
steps would see. Shows before a run what its rewards can tell apart (a group whose rewards are all equal teaches
nothing), and after one how far the best of G completions is above the mean.
"""

EXAMPLES = """\
examples:
  museg rollout configs/quickstart.yaml --steps 2
  museg rollout --run runs/quickstart --json
  museg rollout configs/stage_1.yaml model.path=/models/Qwen2.5-VL-7B-Instruct data.video_root=/videos --output sampled
  museg report sampled
  museg score --input sampled/rollouts/step-000001.jsonl --output - --preset robust | head -1

The output folder gets rollouts/step-NNNNNN.jsonl, the same rows as a run's, and config.yaml; `museg report` shows them
on the videos' time axes. Ctrl-C keeps finished
steps and exits with 130; the same command then goes on. Raise --steps to sample more.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "rollout",
        help="sample and score completions to the training prompts",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", dest="run_dir", metavar="RUN_DIR", type=Path, help="sample a run's newest checkpoint")
    parser.add_argument(
        "--steps", type=_steps, help="steps of grpo.prompts_per_step prompts (as many as show each sample once)"
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: samplings/… in the run's directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("words", metavar="CONFIG | key=value", nargs="*", help="configuration, and keys to override")
    let_words_stand_between_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sample what is missing in the folder, and print what all of it earned.

    Raises:
        UserError: arguments that don't go together, or data, model or videos that can't be used.
    """
    from rich.console import Console

    files = [word for word in args.words if "=" not in word]
    if len(files) + (args.run_dir is not None) != 1:
        raise ConfigError("museg rollout needs one of CONFIG and --run: museg rollout --help")
    config = config_from(args.run_dir, files, [word for word in args.words if "=" in word])
    own = args.run_dir or Path(config.run.root) / config.run.name
    folder = args.output or own / "samplings" / model_name(config.model.path)
    # After the configuration was found good: they are slow to import.
    from actors.rollout.rollout_run import run_rollouts

    console = Console(stderr=args.json)
    summary = run_rollouts(config, args.steps, folder, console)
    _print_summary(summary, as_json=args.json)
    console.print(f"completions: {folder / 'rollouts'}", highlight=False, soft_wrap=True)
    return 0


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of steps: at least 1")
    return int(text)


def _print_summary(summary: RolloutSummary, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json.dumps(dataclasses.asdict(summary)))
        return
    table = Table(title=f"{summary.num_completions:,} completions to {summary.num_groups:,} prompts")
    table.add_column("reward", no_wrap=True)
    for heading in ("mean", "best of a group"):
        table.add_column(heading, justify="right")
    for name, reward in summary.rewards.items():
        table.add_row(name, f"{reward.mean:.4f}", f"{reward.best:.4f}")
    console = Console()
    console.print(table)
    console.print(
        f"groups without an advantage {summary.flat_fraction:.1%}, cut at generation.max_tokens "
        f"{summary.truncated_fraction:.1%}",
        highlight=False,
        soft_wrap=True,
    )
