"""Write the dashboards that Grafana is provisioned with: `python -m deploy.grafana.generate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.health import health
from deploy.grafana.learning import learning
from deploy.grafana.throughput import throughput

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> Mapping[str, str]:
    """File name → JSON."""
    made = {"learning": learning(), "throughput": throughput(), "health": health()}
    encoder = JSONEncoder(indent=2, sort_keys=True)
    return {f"{name}.json": encoder.encode(dashboard.build()) + "\n" for name, dashboard in made.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
