"""`museg eval`: score a model on a benchmark, score stored answers, compare what has been scored."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from museg.cli.run_config import config_from, model_name
from museg.cli.words import let_words_stand_between_options
from museg.errors import ConfigError

if TYPE_CHECKING:
    from museg.config.schema import Config
    from museg.evaluation.benchmarks import Benchmark
    from museg.evaluation.exams import EtBenchOptions
    from museg.evaluation.results import EvalResult

BENCHMARK_NAMES = ("charades_sta", "thumos14", "thumos15", "perception_test", "et_bench", "samples")

DESCRIPTION = """\
Ask a model a benchmark's questions, greedily and within evaluation's frame budget, and score the answers; or score
answers that are stored; or show several results beside the published ones.
"""

EPILOG = """\
examples:
  a run's newest checkpoint, on the held-out samples that the run itself is evaluated on:
    museg eval --run runs/quickstart
  on a published benchmark:
    museg eval --run runs/stage_2 --benchmark thumos14 --data thumos14.json --video-root videos
    museg eval --run runs/stage_2 --benchmark et_bench --data et_bench.json --subset subset.json --video-root videos
  any model:
    museg eval configs/stage_1.yaml --benchmark charades_sta --data charades_sta.json --video-root videos \\
        --output evaluations/qwen model.path=/models/Qwen2.5-VL-7B-Instruct generation.workers=8
  stored answers, without model or videos:
    museg eval --benchmark charades_sta --predictions predictions.json --json
    museg eval --benchmark et_bench --predictions predictions.json --no-captions
  several results beside the paper's table:
    museg eval --compare runs/stage_1 runs/stage_2 evaluations/qwen --markdown

The published benchmarks are asked under the authors' settings (768 frames, 3584 × 28² pixels a video, 512 new tokens)
whatever the configuration says; key=value on the command line wins over both. The output folder gets answers.jsonl,
which grows as answers come: a second call goes on with what is missing. Ctrl-C keeps what is done and exits with 130.
At the end there are results.json, with all settings that the scores depend on, and predictions.json for --predictions.

--predictions reads [{"groundtruth": [[start, end], …], "output": "content of the answer tag"}, …], the authors' result
files, and for et_bench its own rows with the answers in "a". E.T. Bench's captions are compared by Java programs: where
there is no `java`, that is said before anything is asked; --no-captions scores all else.

--compare takes run directories and output folders, of a run the newest result of each benchmark. --benchmark shows one
of them. Blind scores (swapped videos) and the best constant answer stand below each row that has them.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `museg`'s."""
    parser = commands.add_parser(
        "eval",
        help="score a model, or stored answers, on a benchmark",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--run", dest="run_dir", metavar="RUN_DIR", type=Path, help="evaluate a run's newest checkpoint")
    what.add_argument("--predictions", metavar="FILE", type=Path, help="score stored answers instead of asking a model")
    what.add_argument("--compare", metavar="DIR", type=Path, nargs="+", help="compare runs and folders of results")
    parser.add_argument("--benchmark", choices=BENCHMARK_NAMES, help="samples (default) is any sample file")
    parser.add_argument("--data", metavar="FILE", type=Path, help="the benchmark's questions (data.eval)")
    parser.add_argument("--video-root", metavar="DIR", type=Path, help="folder of the videos (data.video_root)")
    parser.add_argument("--subset", metavar="FILE", type=Path, help="et_bench: only the questions that FILE names")
    parser.add_argument("--no-captions", action="store_true", help="et_bench: don't compare captions, which needs Java")
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: evaluations/… in the run's directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--markdown", action="store_true", help="print a comparison as Markdown")
    parser.add_argument("words", metavar="CONFIG | key=value", nargs="*", help="configuration, and keys to override")
    let_words_stand_between_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print scores or a comparison.

    Raises:
        UserError: arguments that don't go together, or data, model or result files that can't be used.
    """
    from museg.evaluation.benchmarks import Benchmark

    _refuse_what_is_unused(args)
    benchmark = Benchmark(args.benchmark) if args.benchmark else None
    if args.compare:
        _print_comparison(args, benchmark)
    elif args.predictions:
        from museg.evaluation.stored import score_stored

        if benchmark is None:
            raise ConfigError(f"--predictions needs --benchmark, one of {', '.join(BENCHMARK_NAMES)}")
        _print_result(score_stored(benchmark, args.predictions, _et_bench(args)), as_json=args.json)
    else:
        result = _ask(args, benchmark or Benchmark.samples)
        _print_result(result, as_json=args.json)
    return 0


def _refuse_what_is_unused(args: argparse.Namespace) -> None:
    """An option that would change nothing is a mistake."""
    et_bench = {"--subset": args.subset, "--no-captions": args.no_captions}
    asking = {
        "--data": args.data,
        "--video-root": args.video_root,
        "--output": args.output,
        "CONFIG or key=value": args.words,
    }
    if args.compare:
        mode, unused = "--compare", asking | et_bench
    elif args.predictions:
        mode, unused = "--predictions", asking | {"--markdown": args.markdown}
    else:
        mode, unused = "asking a model", {"--markdown": args.markdown}
    given = [name for name, value in unused.items() if value]
    if given:
        raise ConfigError(f"museg eval: {mode} has no use for {' and '.join(given)}: leave it out")
    if args.benchmark != "et_bench" and any(et_bench.values()):
        raise ConfigError("--subset and --no-captions go with --benchmark et_bench alone: add it, or leave them out")


def _et_bench(args: argparse.Namespace) -> EtBenchOptions:
    from museg.evaluation.exams import EtBenchOptions

    return EtBenchOptions(subset=args.subset, captions=not args.no_captions)


def _ask(args: argparse.Namespace, benchmark: Benchmark) -> EvalResult:
    from rich.console import Console

    config = _config(args, benchmark)  # before the engines' slow imports
    folder = args.output or _default_folder(args.run_dir, config, benchmark)
    from actors.evaluation.benchmark_run import Evaluation, run_evaluation

    console = Console(stderr=args.json)
    evaluation = Evaluation(benchmark=benchmark, config=config, folder=folder, et_bench=_et_bench(args))
    result = run_evaluation(evaluation, console)
    console.print(f"results: {folder / 'results.json'}", highlight=False, soft_wrap=True)
    return result


def _config(args: argparse.Namespace, benchmark: Benchmark) -> Config:
    overrides = _overrides(args, benchmark)
    files = [word for word in args.words if "=" not in word]
    if len(files) + (args.run_dir is not None) != 1:
        raise ConfigError("museg eval needs one of CONFIG, --run, --predictions and --compare: museg eval --help")
    config = config_from(args.run_dir, files, overrides)
    if config.data.eval is None:
        raise ConfigError("data.eval has no value: name the questions by --data FILE")
    return config


def _overrides(args: argparse.Namespace, benchmark: Benchmark) -> list[str]:
    """The authors' settings for what they publish, what the options say, then the user's own: the last one wins."""
    from museg.evaluation.benchmarks import AUTHORS_SETTINGS, FACTS

    overrides = [word for word in args.words if "=" in word]
    published = FACTS[benchmark].published
    if published and args.data is None and not any(word.startswith("data.eval=") for word in overrides):
        raise ConfigError(f"--benchmark {benchmark} needs --data FILE, the benchmark's questions")
    options = (("data.eval", args.data), ("data.video_root", args.video_root))
    return [
        *(AUTHORS_SETTINGS if published else ()),
        *(f"{key}={value}" for key, value in options if value is not None),
        *overrides,
    ]


def _default_folder(run_dir: Path | None, config: Config, benchmark: Benchmark) -> Path:
    from museg.evaluation.comparison import EVALUATIONS_FOLDER

    own = run_dir or Path(config.run.root) / config.run.name
    return own / EVALUATIONS_FOLDER / model_name(config.model.path) / benchmark.value


def _print_result(result: EvalResult, *, as_json: bool) -> None:
    from rich.console import Console

    from museg.cli.eval_tables import result_notes, result_tables

    if as_json:
        print(result.as_json())
        return
    console = Console()
    for table in result_tables(result):
        console.print(table)
    for note in result_notes(result):
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def _print_comparison(args: argparse.Namespace, benchmark: Benchmark | None) -> None:
    from rich.console import Console

    from museg.cli import comparison_tables
    from museg.evaluation.comparison import compare

    comparison = compare(args.compare, benchmark)
    if args.json:
        print(comparison_tables.comparison_json(comparison))
    elif args.markdown:
        print(comparison_tables.comparison_markdown(comparison))
    else:
        console = Console()
        console.print(comparison_tables.comparison_table(comparison))
        for note in comparison_tables.comparison_notes(comparison):
            console.print(note, highlight=False, markup=False, soft_wrap=True)
