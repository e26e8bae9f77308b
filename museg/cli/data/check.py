"""`museg data check`: what is wrong with sample files, and a copy without it."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from museg.cli import exit_codes
from museg.cli.data.check_tables import describe
from museg.config.loading import load_config
from museg.data.checking.checking import DECODE_TIMEOUT_S, CheckSettings, DataCheck, check_files
from museg.data.checking.mending import CleanCopy, clean_text, mended, without_errors
from museg.errors import DataError
from museg.runs.directory import write_atomically

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from museg.config.schema import Config
    from museg.data.checking.contexts import Context

DESCRIPTION = """\
Check sample files, JSON lines or a JSON list of evaluation questions: fields, segments, durations, repeats; with
--video-root that every video decodes from its first to its last frame, and how long it really is; with --against that
no video is in another split too (found under another root as well). Then what the data is like, and the best constant
answer: a data set on which one answer pays for every question teaches a policy to ignore the video.

--fix OUT writes a copy in which segments are turned round, cut to [0, duration], sorted and, if they have no length,
dropped; durations are those of the videos where known (--video-root), repeated idx are new ones, and rows that can't be
mended are left out. Overlapping segments stay as annotated, as in the authors' rewards, unless --merge is given.
--drop OUT writes the rows that have no error, as they stand.

exit codes: 0 clean or warnings only, 1 at least one error in FILE (whatever --fix and --drop write), 2 FILE can't be
read or written.
"""

EXAMPLES = """\
examples:
  museg data check train.jsonl
  museg data check stage_1.jsonl stage_2.jsonl --json
  museg data check train.jsonl --video-root videos --against eval.jsonl --fix train_clean.jsonl
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg data`'s."""
    check = subparsers.add_parser(
        "check",
        help="find what is wrong with sample files, and mend it",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", metavar="FILE", type=Path, nargs="+", help="sample file")
    check.add_argument("--against", metavar="FILE", type=Path, nargs="+", default=[], help="splits to share no video")
    check.add_argument("--video-root", metavar="DIR", type=Path, help="decode the videos, which lie below it")
    check.add_argument(
        "--config",
        metavar="CONFIG",
        type=Path,
        help="of a run: also whether its context holds each prompt with its video (below DIR, or data.video_root)",
    )
    check.add_argument(
        "--allow-outside", action="store_true", help="absolute paths and links out of DIR too (data.allow_outside)"
    )
    check.add_argument("--workers", metavar="N", type=int, help="processes that decode (default: one a core)")
    check.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DECODE_TIMEOUT_S,
        help="give a video up when decoding takes longer (default %(default)s)",
    )
    check.add_argument("--json", action="store_true", help="print one JSON object with every anomaly")
    copies = check.add_mutually_exclusive_group()
    copies.add_argument("--fix", metavar="OUT", type=Path, help="write a mended copy of the one FILE")
    copies.add_argument("--drop", metavar="OUT", type=Path, help="write the rows without errors of the one FILE")
    check.add_argument("--merge", action="store_true", help="with --fix: make overlapping segments of a row one")
    check.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, report, and write the copy that was asked for.

    Raises:
        DataError: a file that can't be read or written, or options that don't fit together.
        ConfigError, ModelError: --config, or the model that it names, can't be used.
    """
    _validate(args)
    config = load_config(args.config) if args.config else None
    root: Path | None = args.video_root or (Path(config.data.video_root) if config else None)
    settings = CheckSettings(
        against=args.against,
        video_root=root,
        allow_outside=args.allow_outside,
        workers=args.workers,
        timeout_s=args.timeout,
        context=_context(config) if config else None,
    )
    check = check_files(args.files, settings)
    if args.json:
        print(json.dumps(_object(check), allow_nan=False))
    else:
        Console().print(describe(check))
    output: Path | None = args.fix or args.drop
    if output is not None:
        _write(output, check, _copy(args, check))
    return exit_codes.ERRORS_FOUND if check.has_errors else 0


def _context(config: Config) -> Context:
    # It brings in transformers, which a check by itself need not wait for.
    from museg.data.checking.contexts import Context

    return Context.of(config)


def _validate(args: argparse.Namespace) -> None:
    output: Path | None = args.fix or args.drop
    if output is not None and len(args.files) > 1:
        raise DataError(f"data check: --fix and --drop take one FILE (got {len(args.files)}): write one copy at a time")
    if output is not None and any(output.resolve() == path.resolve() for path in (*args.files, *args.against)):
        raise DataError(f"data check: {output} is one of the files to check: write the copy elsewhere")
    if args.merge and args.fix is None:
        raise DataError("data check: --merge changes what --fix writes: add --fix OUT")
    if args.workers is not None and args.workers < 1:
        raise DataError(f"data check: --workers must be at least 1 (got {args.workers})")
    if not (args.timeout > 0 and math.isfinite(args.timeout)):
        raise DataError(f"data check: --timeout must be finite seconds above 0 (got {args.timeout})")


def _object(check: DataCheck) -> dict[str, object]:
    """The check as JSON; a single file is named by `file`, several by `files`."""
    names = [str(file.path) for file in check.files]
    return {
        **({"file": names[0]} if len(names) == 1 else {"files": names}),
        "rows": len(check.annotations),
        "anomalies": [asdict(anomaly) for anomaly in check.anomalies],
        "counts": check.counts,
        "statistics": asdict(check.statistics()),
    }


def _copy(args: argparse.Namespace, check: DataCheck) -> CleanCopy:
    (file,) = check.files
    if args.drop is not None:
        return without_errors(file, check.anomalies)
    return mended(file, check.annotations, check.anomalies, check.durations_s, merge=args.merge)


def _write(output: Path, check: DataCheck, copy: CleanCopy) -> None:
    if not copy.rows:
        raise DataError(f"data check: no row would be left in {output}: nothing written")
    try:
        write_atomically(output, clean_text(check.files[0], copy))
    except OSError as error:
        raise DataError(f"data check: can't write {output} ({error.strerror}): choose another place") from error
    Console(stderr=True).print(
        f"{output}: {len(copy.rows):,} rows, {copy.changed:,} of them changed; {copy.dropped:,} dropped",
        highlight=False,
        soft_wrap=True,
    )
