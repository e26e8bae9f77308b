"""How a run ended: in summary.json, in its report and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from ray.exceptions import RayTaskError
from rich.console import Console

from actors.faults.budget import RestartBudget
from actors.progress import show_result
from actors.resuming import StartingPoint
from actors.rollout.prompt_source import PromptSource
from actors.telemetry.telemetry import Telemetry
from museg.config.schema import Config
from museg.errors import UserError
from museg.runs.directory import RunDirectory
from museg.runs.report import write_report
from museg.runs.summary import Status, Summary, first_and_last_reward, read_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run's loop ended."""

    status: Status
    steps: int
    eval_before: Mapping[str, float] = field(default_factory=dict)
    eval_after: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def failed(cls, run: RunDirectory, error: Exception) -> Self:
        """After the steps on record, of that error."""
        return cls(status="failed", steps=len(run.read_metrics()), error=one_line(error))


class Trained(Protocol):
    """What either trainer knows of its run."""

    @property
    def run(self) -> RunDirectory: ...

    @property
    def prompts(self) -> PromptSource: ...

    @property
    def budget(self) -> RestartBudget: ...

    @property
    def telemetry(self) -> Telemetry: ...

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""


def sum_up(trained: Trained, outcome: Outcome, console: Console) -> Summary:
    """Write summary and report, and show how it went."""
    run = trained.run
    reward_first, reward_last = first_and_last_reward(run.read_metrics())
    summary = Summary(
        status=outcome.status,
        steps=outcome.steps,
        eval_before=outcome.eval_before,
        eval_after=outcome.eval_after,
        reward_first=reward_first,
        reward_last=reward_last,
        wall_s=trained.wall_s(),
        restarts=trained.budget.count,
        videos_skipped=dict(trained.prompts.videos_skipped),
        metrics_address=trained.telemetry.address,
        error=outcome.error,
    )
    trained.telemetry.end(summary.status)
    run.write_summary(summary.as_json())
    write_report(run, in_haste=outcome.status == "interrupted")
    show_result(run, summary, console)
    return summary


def already_complete(config: Config, run: RunDirectory, start: StartingPoint, console: Console) -> Summary | None:
    """Show how a run ended that has nothing left to do; None for any other."""
    # Only then: the summary of a run that goes on may be of any age, or torn.
    summary = read_summary(run) if start.state.step >= config.grpo.steps else None
    if summary is None or summary.status != "completed":
        return None
    console.print(f"{run.path} is already complete; run.name=… starts another run", soft_wrap=True)
    show_result(run, summary, console)
    return summary


def one_line(error: BaseException) -> str:
    """The message of an error, of its cause where a worker raised it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    text = " ".join(str(cause).split())
    return text if isinstance(cause, UserError) else f"{type(cause).__name__}: {text}"
