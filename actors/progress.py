"""What a run shows while it goes: a live bar on a terminal, one line a step in a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from museg.runs.directory import RunDirectory
from museg.runs.summary import Summary
from museg.terminal import printable

TIME_SPLIT = ("wait_video", "generate", "reward", "learn", "sync")


Headline = Callable[[Mapping[str, float]], str]
"""The few figures of a step's metrics that a reader follows."""


def grpo_headline(metrics: Mapping[str, float]) -> str:
    return (
        f"reward {metrics['reward/mean']:.3f} entropy {metrics['policy/entropy']:.3f} "
        f"gap {metrics['parity/logprob_gap_mean']:.1e}"
    )


def sft_headline(metrics: Mapping[str, float]) -> str:
    return f"loss {metrics['sft/loss']:.3f} gradient {metrics['policy/grad_norm']:.2f}"


def counting_bar(console: Console) -> Progress:
    """How many of a known number are done, on a terminal alone; a context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not console.is_terminal,
    )


class ProgressDisplay:
    """Use as a context manager around the loop; `show` once a step, with what `headline` makes of its metrics."""

    def __init__(
        self,
        run_name: str,
        num_steps: int,
        steps_done: int,
        console: Console | None = None,
        headline: Headline = grpo_headline,
    ) -> None:
        self.run_name = run_name
        self.headline = headline
        self.num_steps = num_steps
        self.console = console or Console()
        self.progress = Progress(
            TextColumn("[bold]{task.fields[run]}[/]"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[headline]}  {task.fields[split]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task(
            "train", total=num_steps, completed=steps_done, run=run_name, headline="", split=""
        )

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def show(self, metrics: Mapping[str, float]) -> None:
        """Advance by one step."""
        times = {name: metrics[key] for name in TIME_SPLIT if (key := f"time/{name}_s") in metrics}
        split = " ".join(f"{name} {seconds:.2f}" for name, seconds in times.items())
        headline = f"{self.headline(metrics)} {metrics['throughput/tokens_per_s']:.0f} tok/s"
        self.progress.update(self.task, completed=metrics["step"], headline=headline, split=split)
        if not self.console.is_terminal:
            step = f"step {metrics['step']:.0f}/{self.num_steps}"
            self.say(f"{step} {headline}  {metrics['time/step_s']:.2f} s: {split}")

    def say(self, message: str) -> None:
        """A line above the bar."""
        line = printable(f"[{self.run_name}] {message}")
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_result(run: RunDirectory, summary: Summary, console: Console) -> None:
    """The end of a run: before, after and blind, and where report and checkpoint are."""
    if summary.eval_after:
        console.print(_result_table(summary.eval_before, summary.eval_after))
    lines = [("status", f"{summary.status} after {summary.steps} steps, {summary.wall_s:.0f} s")]
    lines += (
        [("skipped", f"{len(summary.videos_skipped)} videos: see {run.summary_file}")] if summary.videos_skipped else []
    )
    lines += [("report", str(run.report_file))]
    lines += [("checkpoint", str(run.checkpoint(step) / "hf")) for step in run.checkpoint_steps()[-1:]]
    for name, text in lines:
        console.print(f"{name:<11} {text}", highlight=False, markup=False, soft_wrap=True)


def _result_table(before: Mapping[str, float], after: Mapping[str, float]) -> Table:
    table = Table(title="held-out evaluation")
    for heading in ("metric", "before", "after", "gain", "blind, after"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name in ("miou", "segment_matching", "recall@0.5", "format"):
        if name in before and name in after:
            blind = after.get(f"blind/{name}")
            table.add_row(
                name,
                f"{before[name]:.3f}",
                f"{after[name]:.3f}",
                f"{after[name] - before[name]:+.3f}",
                "" if blind is None else f"{blind:.3f}",
            )
    return table
