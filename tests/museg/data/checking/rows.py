"""Rows to be checked, written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from museg.data.checking.checking import CheckSettings, DataCheck, check_files

Row = Mapping[str, object]

CLEAN: Row = {
    "idx": 0,
    "problem": "When does the door open?",
    "solution": [[1.0, 2.5]],
    "video": "charades/a.mp4",
    "duration": 30.0,
    "task": "tvg",
}


def row(idx: int, **changes: object) -> Row:
    """A clean row about a video of its own, with some fields changed; None takes the field away."""
    changed = {**CLEAN, "idx": idx, "video": f"charades/{idx}.mp4", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in rows))
    return path


def check(path: Path, **settings: object) -> DataCheck:
    return check_files([path], CheckSettings(**settings))


def found(result: DataCheck) -> list[tuple[int, str, str]]:
    """Row, kind and severity of every anomaly."""
    return [(anomaly.row, str(anomaly.kind), str(anomaly.severity)) for anomaly in result.anomalies]
