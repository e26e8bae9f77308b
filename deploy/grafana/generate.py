"""Write the dashboards that Grafana is provisioned with: `python -m deploy.grafana.generate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.health import health
from deploy.grafana.learning import learning
from deploy.grafana.throughput import throughput

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> Mapping[str, str]:
    """File name → JSON."""
    made = {"learning": learning(), "throughput": throughput(), "health": health()}
    return {f"{name}.json": _as_json(dashboard.build()) for name, dashboard in made.items()}


def _as_json(dashboard: Dashboard) -> str:
    # Links to single panels need numbers that stay.
    for number, panel in enumerate(dashboard.panels or [], 1):
        panel.id_val = number
    return JSONEncoder(indent=2, sort_keys=True).encode(dashboard) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
