"""docker/: what the linter says, what the images are made of, and a thin one that is really built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
TARGETS = ("core", "cpu", "cuda")
BASE = "localhost/museg-base:1"


def stages() -> dict[str, str]:
    """Name to text of every stage."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_nothing_of_its_builder_but_what_was_installed(target: str) -> None:
    text = stages()[target]
    assert re.findall(r"^COPY .*$", text, flags=re.MULTILINE) == [f"COPY --from=built-{target} /opt/museg /opt/museg"]
    assert text.strip().splitlines()[-1].startswith(("USER 1000:1000", "#"))
    assert "sudo" not in DOCKERFILE.read_text()


def test_only_the_image_for_gpus_has_a_compiler() -> None:
    with_compiler = {name for name, text in stages().items() if re.search(r"\b(g\+\+|gcc|build-essential)", text)}
    assert with_compiler == {"cuda"}


def test_the_core_image_has_what_the_project_itself_requires() -> None:
    listed = re.search(r"\^\((antlr4[^)]*|markdown[^)]*)\)==", stages()["built-core"])
    assert listed is not None
    assert set(listed[1].split("|")) == set(required(project_dependencies()))


WITHOUT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())
import museg.cli
museg.cli.main(["--help"])
"""


def test_the_command_line_needs_nothing_else() -> None:
    there = {"museg", *required(project_dependencies())}
    distributions = metadata.packages_distributions()
    absent = [name for name, its in distributions.items() if there.isdisjoint(map(canonicalize_name, its))]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *absent], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: museg")


def project_dependencies() -> list[str]:
    dependencies: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dependencies


def required(lines: list[str]) -> Iterator[str]:
    """Packages, and what they require in turn."""
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)
            yield from required(metadata.requires(requirement.name) or [])


def test_the_compose_file_opens_ports_on_this_machine_alone_and_hardens_every_ray_container() -> None:
    services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert set(services) == {"head", "worker", "prometheus", "grafana"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    for name in ("head", "worker"):
        assert services[name]["read_only"] is True
        assert services[name]["user"] == "1000:1000"
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"


Buildah = Callable[..., str]


@pytest.fixture
def buildah(tmp_path: Path) -> Buildah:
    """`buildah("images")` with a store of its own, which goes with the test."""
    for program, package in (("buildah", "buildah"), ("debootstrap", "debootstrap")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} isn't installed (Debian: {package})")
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")

    def run(*arguments: str | Path) -> str:
        store = ["--root", tmp_path / "store", "--runroot", tmp_path / "run", "--storage-driver", "vfs"]
        command = ["buildah", *store, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def debian_with_python(buildah: Buildah, folder: Path) -> None:
    """BASE: a Debian made by debootstrap, in the place of the image from a registry."""
    packages = "--include=python3-venv,ca-certificates"
    command = ["debootstrap", "--variant=minbase", packages, "bookworm", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        pytest.skip(f"no Debian to build on: {done.stdout.splitlines()[-1]}")
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, folder, "/")
    buildah("commit", "--quiet", "--rm", container, BASE)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_thin_image_is_built_and_runs_the_command_line_as_uid_1000(buildah: Buildah, tmp_path: Path) -> None:
    debian_with_python(buildah, tmp_path / "debian")
    certificates = Path("/etc/ssl/certs")
    (tmp_path / "pip.conf").write_text(f"[global]\ncert = {certificates / 'ca-certificates.crt'}\n")
    volumes = ["--volume", f"{tmp_path / 'pip.conf'}:/etc/pip.conf:ro", "--volume", f"{certificates}:{certificates}:ro"]
    options = ["--isolation", "chroot", "--layers=false", "--format", "docker", *volumes]
    arguments = ["--build-arg", f"BASE={BASE}", "--target", "core", "--tag", "museg:core", "--file", DOCKERFILE]
    buildah("bud", *options, *arguments, ROOT)
    container = buildah("from", "--pull-never", "museg:core").strip()

    def inside(script: str) -> str:
        return buildah("run", "--isolation", "chroot", container, "--", "tini", "--", "bash", "-c", script)

    assert inside("id --user; id --group").split() == ["1000", "1000"]
    assert "museg COMMAND --help" in inside("museg --help")
    assert inside("museg train --help").startswith("usage: museg train")
    assert inside("for program in gcc cc c++ make sudo pip; do command -v $program; done; true") == ""
    assert "Permission denied" in inside("touch /opt/museg/x /museg/x /museg/runs/x 2>&1; ls /museg/runs")
    assert inside("ls /museg/runs").split() == ["x"]
