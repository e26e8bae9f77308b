"""The report as one HTML file: no script, no network, every text escaped by the template engine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from museg.runs.directory import RunDirectory, write_atomically
from museg.runs.report.curves import NUM_COLOURS, draw_charts
from museg.runs.report.groups import choose_groups
from museg.runs.report.overview import key_figures, score_table
from museg.runs.report.record import read_record
from museg.runs.report.timelines import build_timeline


def write_report(run: RunDirectory) -> Path:
    """Write what `run` has on record so far into its `report.html`, whole or not at all.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
    """
    record = read_record(run)
    templates = Environment(
        loader=PackageLoader("museg.runs.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = templates.get_template("page.html").render(
        record=record,
        figures=key_figures(record),
        scores=score_table(record),
        charts=draw_charts(record),
        num_colours=NUM_COLOURS,
        timelines=[build_timeline(chosen) for chosen in choose_groups(run)],
        written_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    write_atomically(run.report_file, page)
    return run.report_file
