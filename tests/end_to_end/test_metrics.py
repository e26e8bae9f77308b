"""A real Prometheus scrapes a real run: its pages are sound, and every panel of every dashboard has data."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deploy.grafana.generate import FOLDER
from museg.runs.directory import RunDirectory
from tests.end_to_end.conftest import QUICKSTART, REPOSITORY, Workplace

pytestmark = pytest.mark.slow
NAME = "watched"
RATE_INTERVAL = "10s"
_INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "prometheus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A finished run and what was seen of it."""

    run: RunDirectory
    prometheus: str
    pages: dict[str, str]
    """Of the driver (`museg`) and of Ray's agent (`ray`), as they were last."""
    began_s: float
    ended_s: float

    def over_the_run(self, expression: str) -> list[list[float]]:
        """The series of a query over the time of the run, without values that aren't numbers."""
        asked = {"query": expression, "start": self.began_s, "end": self.ended_s, "step": 1}
        answer = _get(f"{self.prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        series = [[float(value) for _, value in one["values"]] for one in json.loads(answer)["data"]["result"]]
        return [kept for one in series if (kept := [value for value in one if math.isfinite(value)])]


@pytest.fixture(scope="module")
def watched(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    _install_prometheus()
    with _prometheus(workplace.runs, tmp_path_factory.mktemp("prometheus")) as address:
        began_s = time.time()
        pages = _run(workplace)
        yield Watched(run=workplace.run(NAME), prometheus=address, pages=pages, began_s=began_s, ended_s=time.time())


def test_the_run_goes_as_one_that_nobody_watches(watched: Watched, workplace: Workplace) -> None:
    assert workplace.summary(NAME)["status"] == "completed"
    assert str(workplace.summary(NAME)["metrics_address"]).startswith("127.0.0.1:")
    assert not any(file.exists() for file in watched.run.targets_files), "a run that has ended isn't asked any more"


def test_promtool_finds_nothing_wrong_with_the_drivers_page(watched: Watched) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=watched.pages["museg"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_workers_and_their_engines_are_told_of_by_rays_agent(watched: Watched) -> None:
    ours = {line.split("{")[0] for line in watched.pages["ray"].splitlines() if f'run="{NAME}"' in line}
    assert ours >= {
        "ray_museg_generated_groups_total",
        "ray_museg_videos_decoded_total",
        "ray_museg_learner_tokens_total",
    }
    assert "ray_vllm_kv_cache_usage_perc{" in watched.pages["ray"]


def test_the_values_are_those_of_metrics_jsonl(watched: Watched) -> None:
    rows = watched.run.read_metrics()
    steps = watched.over_the_run("museg_step")[0]
    assert steps[-1] >= len(rows) - 1
    row = rows[int(steps[-1]) - 1]
    for name, key in {
        'museg_reward_mean{reward="total"}': "reward/mean",
        "museg_kl": "policy/kl",
        "museg_entropy": "policy/entropy",
        "museg_logprob_gap_max": "parity/logprob_gap_max",
        "museg_step_seconds": "time/step_s",
    }.items():
        assert watched.over_the_run(name)[0][-1] == row[key], name
    done = rows[: int(steps[-1])]
    seconds = watched.over_the_run('museg_phase_seconds_total{phase="learn"}')[0][-1]
    assert seconds == pytest.approx(sum(float(str(one["time/learn_s"])) for one in done))


@pytest.mark.parametrize("dashboard", sorted(file.name for file in FOLDER.glob("*.json")))
def test_every_panels_query_has_data(watched: Watched, dashboard: str) -> None:
    panels = json.loads((FOLDER / dashboard).read_text())["panels"]
    queries = {query["expr"]: panel["title"] for panel in panels for query in panel.get("targets", [])}
    assert len(queries) > 10
    empty = [
        f"{title}: {expression}"
        for expression, title in queries.items()
        if not watched.over_the_run(expression.replace("$__rate_interval", RATE_INTERVAL).replace("$run", NAME))
    ]
    assert empty == []


def test_no_alert_fires_on_a_healthy_run(watched: Watched) -> None:
    assert watched.over_the_run('ALERTS{alertstate="firing", alertname!="MusegDriverDown"}') == []


def _install_prometheus() -> None:
    if shutil.which("prometheus") and shutil.which("promtool"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=120, check=False)
        subprocess.run(_INSTALL, capture_output=True, timeout=300, check=False)
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("Prometheus isn't installed, and can't be from here: apt-get install prometheus")


@contextmanager
def _prometheus(runs: Path, folder: Path) -> Iterator[str]:
    """A Prometheus with the project's configuration, asking every second."""
    config = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(REPOSITORY / "deploy" / "prometheus" / "rules" / "*.yml")]
    for job in config["scrape_configs"]:
        (files,) = job["file_sd_configs"]
        files["refresh_interval"] = "1s"
        files["files"] = [
            str(runs / "prometheus" / "*.json") if job["job_name"] == "museg" else str(folder / "none.json")
        ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        _wait_for(f"http://{address}/-/ready", server, folder / "log")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(30)


def _run(workplace: Workplace) -> dict[str, str]:
    """Train, and keep what the pages say meanwhile."""
    shorter = ["grpo.steps=8", "eval.every_steps=3", "telemetry.port=0", "video.cache_gib=0", "grpo.kl_beta=0.04"]
    command = [sys.executable, "-m", "museg", "train", str(QUICKSTART), *workplace.overrides(NAME, *shorter)]
    # Ray's agent tells every 10 s otherwise, which is longer than all of these steps.
    environment = {**os.environ, "RAY_metrics_report_interval_ms": "1000"}
    log = workplace.runs.parent / "watched.log"
    pages: dict[str, str] = {}
    with log.open("w") as output:
        driver = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
    deadline_s = time.monotonic() + 300
    while driver.poll() is None:
        assert time.monotonic() < deadline_s, log.read_text()
        pages |= _pages(workplace.run(NAME))
        time.sleep(1)
    assert driver.returncode == 0, log.read_text()
    return pages


def _pages(run: RunDirectory) -> dict[str, str]:
    """The pages that the run's own file leads to, where they answer."""
    pages = {}
    file = run.targets_files[0]
    for entry in json.loads(file.read_text()) if file.exists() else []:
        try:
            pages[entry["labels"].get("job", "museg")] = _get(f"http://{entry['targets'][0]}/metrics")
        except OSError:
            # It is over between the file and the question.
            continue
    return pages


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        assert server.poll() is None, log.read_text()
        try:
            _get(url)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} wasn't ready in 10 s: {log.read_text()}")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
