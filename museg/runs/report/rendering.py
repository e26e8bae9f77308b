"""The report as one HTML file: no network, every text from data or models escaped, no script but the page's own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from museg.runs.directory import RunDirectory, write_atomically
from museg.runs.report.collecting import MAX_COMPLETIONS, Collector
from museg.runs.report.content import Content, collected, packed
from museg.runs.report.overview import key_figures, score_table
from museg.runs.report.pictures import Filmstrips, Strip
from museg.runs.report.record import RunRecord, read_record

MAX_COMPLETIONS_IN_HASTE = 40_000
"""Packed in about a second."""
MAX_PICTURE_BYTES = 3_000_000
PICTURES_WITHIN_S = 6.0
"""Pictures that take longer are left out."""

STYLES = ("vendor/uPlot.min.css", "page.css", "timeline.css")
SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "source.js",
    "words.js",
    "place.js",
    "charts.js",
    "board.js",
    "reading.js",
    "history.js",
    "browser.js",
    "main.js",
)
"""In the order of loading; each adds to one name, `report`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Data that the page unpacks when it is asked for: base64, which holds no markup."""

    name: str
    base64: str


def write_report(run: RunDirectory, *, in_haste: bool = False) -> Path:
    """Write what `run` has on record so far into its `report.html`, whole or not at all.

    In haste, as when a signal has left the run seconds to end in, no video is read and a long run's completions are
    kept of fewer steps; `museg report` fills in the rest at any time.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
    """
    collector = Collector(run, max_completions=MAX_COMPLETIONS_IN_HASTE if in_haste else MAX_COMPLETIONS)
    content = collected(read_record(run), collector)
    strips = {} if in_haste else _strips(content)
    write_atomically(run.report_file, render_page(content, strips))
    return run.report_file


def _strips(content: Content) -> dict[str, Strip]:
    with Filmstrips(content.record.videos) as filmstrips:
        videos = dict.fromkeys(content.telling_videos())
        return filmstrips.of_some(videos, max_bytes=MAX_PICTURE_BYTES, within_s=PICTURES_WITHIN_S)


def render_page(content: Content, strips: Mapping[str, Strip]) -> str:
    """The page with all that it shows inside."""
    blocks = [Block(name="index", base64=_base64(packed(content.index())))]
    blocks += [Block(name=f"step-{pack.step}", base64=_base64(pack.packed)) for pack in content.packs]
    blocks += [
        Block(name=f"video-{number}", base64=_base64(strips[video].jpeg))
        for number, video in enumerate(content.videos)
        if video in strips
    ]
    return _page(content.record, blocks, live=False)


def render_live_page(record: RunRecord) -> str:
    """The page that asks its server for everything, again whenever steps come."""
    return _page(record, [], live=True)


def render_overview(record: RunRecord) -> str:
    """The head of the page: figures, scores, skipped videos."""
    return _templates().get_template("overview.html").render(_overview(record))


def _page(record: RunRecord, blocks: list[Block], *, live: bool) -> str:
    scripts = {name: _asset(name) for name in SCRIPTS}
    return (
        _templates()
        .get_template("page.html")
        .render(
            **_overview(record),
            styles=[Markup(_asset(name)) for name in STYLES],
            scripts=[Markup(script) for script in scripts.values()],
            script_hashes=[_script_hash(script) for script in scripts.values()],
            blocks=blocks,
            live=live,
        )
    )


def _overview(record: RunRecord) -> dict[str, object]:
    return {
        "record": record,
        "figures": key_figures(record),
        "scores": score_table(record),
        "written_at": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("museg.runs.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    return resources.files("museg.runs.report").joinpath("page", name).read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    return "sha256-" + _base64(hashlib.sha256(script.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
