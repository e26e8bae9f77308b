"""`museg score`: the rewards of completions in a file."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import rich.progress
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from museg.config.choices import RewardPreset
from museg.config.schema import RewardConfig, RewardRulesConfig
from museg.errors import ConfigError, DataError
from museg.rewards.scoring import Scorer
from museg.scoring.score_file import appearing_whole, score_lines
from museg.scoring.summary import ScoreSummary, TaskScores
from museg.terminal import one_line

DESCRIPTION = """\
Score completions: reads JSON lines of {"completion", "solution": [[start, end], …], "task"?, "duration"?} (a run's
rollouts files are such lines) and writes each of them, all its own fields kept, with "rewards": {name: value}. Prints
a summary, and beside it what the best constant answer would earn: a reward that pays for ignoring the video.
"""

EXAMPLES = """\
examples:
  museg score --input runs/quickstart/rollouts/step-000080.jsonl --output scored.jsonl
  museg score --input answers.jsonl --output - --preset robust --rule pairing=start | head -1
  museg score --input answers.jsonl --output scored.jsonl --json
  museg score --input answers.jsonl --output scored.jsonl --function my_package.rewards:duration_penalty
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "score",
        help="score completions by the rewards",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--input", metavar="FILE", required=True, help="JSON lines to score, - for standard input")
    parser.add_argument("--output", metavar="FILE", required=True, help="file to write, - for standard output")
    parser.add_argument(
        "--preset",
        choices=[preset.value for preset in RewardPreset],
        default=RewardPreset.reference.value,
        help="rules of the rewards: the authors' code, their paper, or bounded ones (default %(default)s)",
    )
    flags = ", ".join(flag.name for flag in dataclasses.fields(RewardRulesConfig))
    parser.add_argument(
        "--rule",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help=f"a rule that differs from the preset's, as in reward.rules; repeatable ({flags})",
    )
    parser.add_argument(
        "--function",
        metavar="PATH",
        action="append",
        default=[],
        help="also a reward function of yours, package.module:function as in reward.functions; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score the file and print the summary.

    Raises:
        ConfigError: an unknown rule, a value that it can't have, a function that isn't there, or two outputs on one
            stream.
        DataError: the input is missing or a row isn't a completion; no output is left then.
        RewardError: a function of the user's failed on a row; no output is left then, either.
    """
    if args.json and args.output == "-":
        raise ConfigError("score: --json prints on standard output, where --output - writes the rows: name a file")
    rules = rules_from(args.rule)
    reward = RewardConfig(preset=RewardPreset(args.preset), rules=rules)
    reward.functions += args.function
    scorer = Scorer.from_config(reward)
    origin = "standard input" if args.input == "-" else args.input
    try:
        with _lines(args.input) as lines, _output(args.output) as output:
            summary = score_lines(lines, origin, scorer, output)
            output.flush()
    except BrokenPipeError:
        # Whoever read our output has enough of it (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if args.json:
        settings = {"input": args.input, "output": args.output, "preset": args.preset, "rules": args.rule}
        print(json.dumps({**settings, **summary.as_json()}))
    else:
        describe(summary, args.preset, Console(stderr=args.output == "-"))
    return 0


def rules_from(rules: Sequence[str]) -> RewardRulesConfig:
    """The rules of `key=value` texts; the last of a key wins.

    Raises:
        ConfigError: a text isn't of that form, its key is no rule, or its value isn't one of that rule's.
    """
    names = [flag.name for flag in dataclasses.fields(RewardRulesConfig)]
    for rule in rules:
        key, separator, _ = rule.partition("=")
        if not separator or key not in names:
            nearest = difflib.get_close_matches(key, names, n=1, cutoff=0.0)[0]
            raise ConfigError(f"--rule {rule!r} isn't key=value with the key of a rule: did you mean {nearest}=…?")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(RewardRulesConfig), OmegaConf.from_dotlist(list(rules)))
        return cast(RewardRulesConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(f"--rule: {error.full_key}: {str(error).splitlines()[0]}") from error


@contextmanager
def _lines(name: str) -> Iterator[Iterable[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    console = Console(stderr=True)
    try:
        file = rich.progress.open(
            name, "rb", description="scoring", console=console, transient=True, disable=not console.is_terminal
        )
        with file as lines:
            yield lines
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file of completions") from error
    except IsADirectoryError as error:
        raise DataError(f"{name}: is a folder: name a file of completions in it") from error


@contextmanager
def _output(name: str) -> Iterator[TextIO]:
    if name != "-":
        with appearing_whole(Path(name)) as file:
            yield file
        return
    with open(sys.stdout.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False) as stream:
        yield stream


def describe(summary: ScoreSummary, preset: str, console: Console) -> None:
    """The summary as a table, and the best constant answer below it."""
    table = Table(title=f"{summary.overall.rows:,} completions, preset {preset}")
    table.add_column("task", no_wrap=True)
    table.add_column("reward", no_wrap=True)
    for heading in ("mean", "std", "min", "max"):
        table.add_column(heading, justify="right")
    sections = {**summary.tasks, "all": summary.overall} if len(summary.tasks) > 1 else summary.tasks
    for task, scores in sections.items():
        for place, (name, spread) in enumerate(scores.rewards.items()):
            figures = [f"{value:.4f}" for value in (spread.mean, spread.std, spread.min, spread.max)]
            table.add_row(Text(_margin(one_line(task), scores, place)), Text(name), *figures)
        table.add_section()
    console.print(table)
    constant = summary.constant
    console.print(
        f"best constant answer: {constant.answer}; it earns mIoU {constant.answer.miou:.4f} and segment_matching "
        f"{constant.segment_matching:.4f} without watching a video ({constant.rows:,} rows)",
        highlight=False,
        soft_wrap=True,
    )


def _margin(task: str, scores: TaskScores, place: int) -> str:
    lines = (
        f"{task}: {scores.rows:,}",
        f"right format {scores.right_format:.1%}",
        f"empty {scores.empty_answers:.1%}",
        f"unparsed {scores.unparsed_answers:.1%}",
    )
    return lines[place] if place < len(lines) else ""
