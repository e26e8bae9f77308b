"""How the dashboards' panels look, and what all of them share: the data source, the choice of runs, links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "museg"
_HEIGHT: Final = 8
Query = tuple[str, str]
"""PromQL and the legend of its series."""


def empty_dashboard(title: str, uid: str, description: str) -> dashboards.Dashboard:
    """With a choice of the data source and of runs, and links to its sisters."""
    source = dashboards.DatasourceVariable("datasource").label("data source").type("prometheus")
    run = (
        dashboards.QueryVariable("run")
        .label("run")
        .datasource(SOURCE)
        .query("label_values(museg_run_info, run)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )
    sisters = (
        dashboards.DashboardLink("MUSEG")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    return (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh("15s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(source)
        .with_variable(run)
        .link(sisters)
    )


def curves(
    title: str, description: str, *queries: Query, unit: str = "short", width: int = 8, logarithmic: bool = False
) -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit)
    panel = panel.span(width).height(_HEIGHT).line_width(1).show_points(common.VisibilityMode.NEVER)
    if logarithmic:
        scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    return panel.targets(_targets(queries))


def stacked(title: str, description: str, *queries: Query, unit: str = "short", width: int = 8) -> timeseries.Panel:
    """Shares of a whole over time."""
    stack = common_builders.StackingConfig().mode(common.StackingMode.NORMAL)
    return curves(title, description, *queries, unit=unit, width=width).stacking(stack).fill_opacity(60).min(0)


def figure(
    title: str, description: str, *queries: Query, unit: str = "short", width: int = 4, bad_from: float | None = None
) -> stat.Panel:
    """The newest value, red from a bound on."""
    steps = [models.Threshold(value=None, color="green")]
    steps += [] if bad_from is None else [models.Threshold(value=bad_from, color="red")]
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit)
    newest = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    panel = panel.span(width).height(_HEIGHT // 2).graph_mode(common.BigValueGraphMode.NONE).reduce_options(newest)
    thresholds = dashboards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    return panel.thresholds(thresholds).targets(_targets(queries))


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + place)).datasource(SOURCE)
        for place, (expr, legend) in enumerate(queries)
    ]
