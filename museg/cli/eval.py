"""`museg eval`: score a model on a benchmark, score stored answers, compare what has been scored."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from museg.errors import ConfigError

if TYPE_CHECKING:
    from museg.config.schema import Config
    from museg.evaluation.benchmarks import Benchmark
    from museg.evaluation.results import EvalResult

BENCHMARK_NAMES = ("charades_sta", "thumos14", "thumos15", "perception_test", "et_bench", "samples")

DESCRIPTION = """\
Ask a model a benchmark's questions, greedily and within evaluation's frame budget, and score the answers; or score
answers that are stored; or show several results beside the published ones.
"""

EPILOG = """\
examples:
  museg eval --run runs/quickstart
  museg eval --run runs/stage_2 --benchmark thumos14 --data thumos14.json --video-root videos
  museg eval configs/stage_1.yaml --benchmark charades_sta --data charades_sta.json --video-root videos \\
      --output evaluations/qwen model.path=/models/Qwen2.5-VL-7B-Instruct generation.workers=8
  museg eval --benchmark charades_sta --predictions predictions.json --json
  museg eval --compare runs/stage_1 runs/stage_2 evaluations/qwen --markdown

--run asks the newest checkpoint of a run, by default the run's own held-out samples (data.eval) as the run itself does
at its end. The published benchmarks are asked under the authors' settings (768 frames, 3584 × 28² pixels a video, 512
new tokens) whatever the configuration says; key=value on the command line wins over both. DIR gets answers.jsonl, which
grows as answers come: a second call goes on with what is missing. Ctrl-C keeps what is done and exits with 130. At the
end there are results.json, with all settings that the scores depend on, and predictions.json for --predictions.

--predictions reads [{"groundtruth": [[start, end], …], "output": "content of the answer tag"}, …], the authors' result
files, and for et_bench its own rows with the answers in "a".
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
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: evaluations/… in the run's directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--markdown", action="store_true", help="print a comparison as Markdown")
    parser.add_argument("words", metavar="CONFIG | key=value", nargs="*", help="configuration, and keys to override")
    _let_words_stand_between_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print scores or a comparison.

    Raises:
        UserError: arguments that don't go together, or data, model or result files that can't be used.
    """
    from museg.evaluation.benchmarks import Benchmark

    benchmark = Benchmark(args.benchmark) if args.benchmark else None
    if args.compare:
        _print_comparison(args, benchmark)
    elif args.predictions:
        from museg.evaluation.stored import score_stored

        if benchmark is None:
            raise ConfigError(f"--predictions needs --benchmark, one of {', '.join(BENCHMARK_NAMES)}")
        _print_result(score_stored(benchmark, args.predictions), as_json=args.json)
    else:
        result = _ask(args, benchmark or Benchmark.samples)
        _print_result(result, as_json=args.json)
    return 0


def _ask(args: argparse.Namespace, benchmark: Benchmark) -> EvalResult:
    from rich.console import Console

    config = _config(args, benchmark)  # before the engines' slow imports
    folder = args.output or _default_folder(args.run_dir, config, benchmark)
    from actors.evaluating import Evaluation, run_evaluation

    console = Console(stderr=args.json)
    result = run_evaluation(Evaluation(benchmark=benchmark, config=config, folder=folder), console)
    console.print(f"results: {folder / 'results.json'}", highlight=False, soft_wrap=True)
    return result


def _config(args: argparse.Namespace, benchmark: Benchmark) -> Config:
    overrides = _overrides(args, benchmark)
    files = [word for word in args.words if "=" not in word]
    if len(files) + (args.run_dir is not None) != 1:
        raise ConfigError("museg eval needs one of CONFIG, --run, --predictions and --compare: museg eval --help")
    config = _run_config(args.run_dir, overrides) if args.run_dir else _load(Path(files[0]), overrides)
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


def _run_config(run_dir: Path, overrides: Sequence[str]) -> Config:
    """A run's configuration, by default with its newest checkpoint as the model."""
    from museg.runs.directory import RunDirectory

    run = RunDirectory(run_dir)
    if not run.config_file.is_file():
        raise ConfigError(f"--run {run_dir} isn't a run directory: it has no config.yaml")
    steps = run.checkpoint_steps()
    if not steps and not any(word.startswith("model.path=") for word in overrides):
        raise ConfigError(f"--run {run_dir} has no checkpoint yet: wait for one, or name a model by model.path=…")
    newest = [f"model.path={run.checkpoint(step) / 'hf'}" for step in steps[-1:]]
    return _load(run.config_file, [*newest, *overrides])


def _load(path: Path, overrides: Sequence[str]) -> Config:
    from museg.config.loading import load_config

    return load_config(path, overrides)


def _default_folder(run_dir: Path | None, config: Config, benchmark: Benchmark) -> Path:
    from museg.evaluation.comparison import EVALUATIONS_FOLDER

    model = Path(config.model.path).absolute()
    name = model.parent.name if model.name == "hf" else model.name
    return (run_dir or Path(config.run.root) / config.run.name) / EVALUATIONS_FOLDER / name / benchmark.value


def _print_result(result: EvalResult, *, as_json: bool) -> None:
    from rich.console import Console

    from museg.cli.eval_tables import result_notes, result_table

    if as_json:
        print(result.as_json())
        return
    console = Console()
    console.print(result_table(result))
    for note in result_notes(result):
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def _print_comparison(args: argparse.Namespace, benchmark: Benchmark | None) -> None:
    from rich.console import Console

    from museg.cli import eval_tables
    from museg.evaluation.comparison import compare

    comparison = compare(args.compare, benchmark)
    if args.json:
        print(eval_tables.comparison_json(comparison))
    elif args.markdown:
        print(eval_tables.comparison_markdown(comparison))
    else:
        console = Console()
        console.print(eval_tables.comparison_table(comparison))
        for line in eval_tables.difference_lines(comparison):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _let_words_stand_between_options(parser: argparse.ArgumentParser) -> None:
    """argparse takes `CONFIG --data FILE key=value` only from a parser that isn't a command of another."""
    parse_known_args = parser.parse_known_args

    def parse(args: Sequence[str], namespace: argparse.Namespace | None) -> tuple[argparse.Namespace, list[str]]:
        # What the intermixed parsing rests on, which would otherwise call itself.
        parser.parse_known_args = parse_known_args  # type: ignore[method-assign]
        try:
            return parser.parse_known_intermixed_args(args, namespace)
        finally:
            parser.parse_known_args = parse  # type: ignore[method-assign,assignment]

    parser.parse_known_args = parse  # type: ignore[method-assign,assignment]
