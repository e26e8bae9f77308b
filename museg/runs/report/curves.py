"""Curves of a run over its steps, drawn by matplotlib as SVG whose colours follow the page's."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from museg.runs.report.record import PhaseMark, RunRecord

SIZE_IN = (4.6, 2.2)
NUM_COLOURS = 6
"""Series colours `--series-0` … that the page's style sheet defines, for light and dark."""
FEW_POINTS = 40
"""Up to so many points each is marked; beyond, a running mean is drawn over them."""
SMOOTHED_FRACTION = 0.05

# Colours that only stand for the style sheet's variables: `_svg` puts those in.
INK = "#fe0100"
RULE = "#fe0200"
SERIES = tuple(f"#fe03{index:02x}" for index in range(NUM_COLOURS))


class Kind(Enum):
    line = auto()
    log_line = auto()
    stack = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity: its value at the steps that have one."""

    label: str
    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawn chart; the legend is left to the page, so that it wraps and reads at any width."""

    title: str
    note: str
    legend: tuple[str, ...]
    """Labels in the order of the series colours."""
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    title: str
    note: str
    keys: Mapping[str, str]
    """Legend label → key of metrics.jsonl."""
    kind: Kind = Kind.line


def draw_charts(record: RunRecord) -> list[Chart]:
    """The charts that the run has data for, in reading order."""
    reward_keys = {
        key.removeprefix("reward/"): key for row in record.metrics for key in row if key.startswith("reward/")
    }
    reward_keys.pop("std", None)
    plans = [
        _Plan(title="Reward", note="Mean of a step's completions, in total and by reward.", keys=reward_keys),
        *PLANS,
    ]
    charts = []
    for plan in plans:
        series = [_series(record, label, key) for label, key in plan.keys.items()]
        series = [one for one in series if one.steps.size]
        if series:
            svg = _draw(series, plan, record)
            labels = tuple(one.label for one in series)
            charts.append(Chart(title=plan.title, note=plan.note, legend=labels, svg=svg))
    return charts


PLANS = (
    _Plan(
        title="Supervised loss",
        note="Nats a token of the target, mean of a step's samples.",
        keys={"loss": "sft/loss"},
    ),
    _Plan(
        title="Held-out mIoU",
        note="Blind: with the videos swapped. Only the distance is grounding. Before the end, eval.samples only.",
        keys={"mIoU": "eval/miou", "blind": "eval/blind/miou"},
    ),
    _Plan(title="KL to the starting policy", note="Nats a token (k3 estimate).", keys={"KL": "policy/kl"}),
    _Plan(
        title="Entropy",
        note="Nats a token. A fall towards zero is a policy that gives one answer to every question.",
        keys={"entropy": "policy/entropy"},
    ),
    _Plan(title="Gradient norm", note="Before clipping.", keys={"gradient norm": "policy/grad_norm"}),
    _Plan(
        title="Parity gap",
        note="Generator's against learner's logprobs of the same tokens, nats. In float32 the mean stays below 1e-4.",
        keys={"mean": "parity/logprob_gap_mean", "largest": "parity/logprob_gap_max"},
        kind=Kind.log_line,
    ),
    _Plan(title="Completion length", note="Mean tokens a completion.", keys={"tokens": "completion/tokens_mean"}),
    _Plan(
        title="Groups without variance",
        note="All completions earned the same reward: nothing to learn from.",
        keys={"groups": "advantage/zero_groups"},
    ),
    _Plan(
        title="Time of a step",
        note="Seconds by what the loop waited for, stacked.",
        keys={
            "wait for video": "time/wait_video_s",
            "generate": "time/generate_s",
            "reward": "time/reward_s",
            "learn": "time/learn_s",
            "sync": "time/sync_s",
        },
        kind=Kind.stack,
    ),
)


def _series(record: RunRecord, label: str, key: str) -> Series:
    """The values of `key`; evaluations also have those before the first step and after the last, from the summary."""
    points = {row["step"]: row[key] for row in record.metrics if key in row}
    metric = key.removeprefix("eval/")
    if key.startswith("eval/") and metric in record.eval_before:
        points[0.0] = record.eval_before[metric]
    if key.startswith("eval/") and metric in record.eval_after:
        points[float(record.num_steps)] = record.eval_after[metric]
    steps = sorted(points)
    return Series(label=label, steps=np.array(steps), values=np.array([points[step] for step in steps]))


def _draw(series: Sequence[Series], plan: _Plan, record: RunRecord) -> str:
    with _page_style():
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        margin = max(0.5, 0.02 * record.num_steps)
        axes.set_xlim(-margin, record.num_steps + margin)
        axes.set_xlabel("step")
        _mark_phases(axes, [mark for mark in record.phases if mark.first_step <= record.num_steps])
        if plan.kind is Kind.stack:
            _stack(axes, series)
        else:
            _lines(axes, series)
        if plan.kind is Kind.log_line:
            _by_decades(axes, series)
        return _svg(figure, plan.title)


def _mark_phases(axes: Axes, phases: Sequence[PhaseMark]) -> None:
    """A thin line before the first step of each phase, its name above it."""
    for mark in phases:
        start = mark.first_step - 0.5
        axes.axvline(start, color=RULE, linewidth=0.6)
        axes.annotate(mark.name, (start, 1.0), xycoords=("data", "axes fraction"), va="bottom", fontsize="small")


def _lines(axes: Axes, series: Sequence[Series]) -> None:
    # The first series is the one that the title promises: drawn last, on top.
    for index, one in reversed(list(enumerate(series))):
        colour = SERIES[index % NUM_COLOURS]
        if one.steps.size <= FEW_POINTS:
            axes.plot(one.steps, one.values, color=colour, marker="o")
        else:
            axes.plot(one.steps, one.values, color=colour, alpha=0.3, linewidth=0.8)
            axes.plot(one.steps, _running_mean(one.values), color=colour)


def _by_decades(axes: Axes, series: Sequence[Series]) -> None:
    """Logarithmic, over whole decades; zeros are left out, and nothing but zeros stays linear."""
    values = np.concatenate([one.values for one in series])
    exponents = np.log10(values[values > 0])
    if exponents.size:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(10 ** np.floor(exponents.min()), 10 ** np.ceil(exponents.max() + 1e-9))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0e}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _running_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the neighbourhood of each value, narrower at both ends."""
    window = np.ones(2 * max(1, round(values.size * SMOOTHED_FRACTION / 2)) + 1)
    return np.convolve(values, window, mode="same") / np.convolve(np.ones_like(values), window, mode="same")


def _stack(axes: Axes, series: Sequence[Series]) -> None:
    steps = np.unique(np.concatenate([one.steps for one in series]))
    edges = np.append(steps - 0.5, steps[-1] + 0.5)
    base = np.zeros(steps.size)
    for index, one in enumerate(series):
        height = np.zeros(steps.size)
        height[np.searchsorted(steps, one.steps)] = one.values
        colour = SERIES[index % NUM_COLOURS]
        axes.stairs(base + height, edges, baseline=base, fill=True, color=colour)
        base = base + height
    axes.set_ylim(bottom=0)


def _page_style() -> AbstractContextManager[None]:
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "museg",
            "text.parse_math": False,
            "font.size": 9.0,
            "text.color": INK,
            "axes.edgecolor": RULE,
            "axes.labelcolor": INK,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "xtick.color": RULE,
            "ytick.color": RULE,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "figure.facecolor": "none",
            "lines.markersize": 3.0,
            "lines.linewidth": 1.6,
        }
    )


def _svg(figure: Figure, title: str) -> str:
    """`figure` as an SVG element to set into HTML: page colours, ids of its own, no size and no outside reference."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{title}">', svg, count=1)
    # HTML needs no XML name spaces, and ids must be unique in the page.
    svg = svg.replace("xlink:href", "href")
    slug = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{slug}-", svg)
    svg = svg.replace(INK, "var(--ink)").replace(RULE, "var(--rule)")
    for index, colour in enumerate(SERIES):
        svg = svg.replace(colour, f"var(--series-{index})")
    return svg
