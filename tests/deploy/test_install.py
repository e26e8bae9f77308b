"""`make setup`: its stamp, its choice of stack, and what it says when it can't go on. Run on a copy of the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("pyproject.toml", "deploy/setup/install.py", "deploy/setup/torchvision_ops.py", "deploy/requirements/cpu.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the set-up reads of a checkout, in a folder with a space in its name."""
    root = tmp_path / "a checkout"
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    return root


@pytest.fixture
def install(checkout: Path) -> ModuleType:
    """The set-up of that checkout as a module."""
    spec = importlib.util.spec_from_file_location("install_under_test", checkout / "deploy" / "setup" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _finish(install: ModuleType) -> dict[str, object]:
    """Leaves `.venv` as a finished set-up of the CPU stack leaves it, without packages."""
    stamp: dict[str, object] = install.wanted_stamp("cpu", install.read_pins("cpu"))
    install.PYTHON.parent.mkdir(parents=True)
    install.PYTHON.symlink_to(sys.executable)
    install.STAMP.write_text(json.dumps(stamp))
    return stamp


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the set-up where pip finds no package at all."""
    nowhere = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(checkout / "deploy")}
    command = [sys.executable, str(checkout / "deploy" / "setup" / "install.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **nowhere}
    )


def test_a_finished_set_up_is_left_alone_in_silence(checkout: Path, install: ModuleType) -> None:
    stamp = _finish(install)
    done = _run(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(install.STAMP.read_text()) == stamp


@pytest.mark.parametrize("name", COPIED)
def test_a_change_of_anything_that_decides_the_installation_is_noticed(install: ModuleType, name: str) -> None:
    stamp = _finish(install)
    path = install.ROOT / name
    path.write_text(path.read_text() + ("added==1.0\n" if name.endswith(".txt") else "\n# changed\n"))
    assert install.wanted_stamp("cpu", install.read_pins("cpu")) != stamp


@pytest.mark.slow
def test_a_failed_set_up_says_so_and_the_next_one_starts_afresh(checkout: Path, install: ModuleType) -> None:
    first = _run(checkout, "--stack", "cpu")
    assert first.returncode == 1
    assert "No matching distribution found for setuptools==" in first.stderr
    assert first.stderr.splitlines()[-1].startswith("setup: pip failed")
    assert install.UNFINISHED.exists()
    (install.VENV / "left-over").touch()
    assert _run(checkout, "--stack", "cpu").returncode == 1
    assert not (install.VENV / "left-over").exists()


def test_an_unfinished_set_up_does_not_count(install: ModuleType) -> None:
    assert install.read_stamp() == {}
    stamp = _finish(install)
    assert install.read_stamp() == stamp
    install.UNFINISHED.touch()
    assert install.read_stamp() == {}


def test_the_stack_of_the_last_set_up_is_kept_else_the_driver_decides(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "has_nvidia_driver", lambda: True)
    assert install.choose_stack({}) == "cuda"
    assert install.choose_stack({"stack": "cpu"}) == "cpu"
    monkeypatch.setattr(install, "has_nvidia_driver", lambda: False)
    assert install.choose_stack({}) == "cpu"


@pytest.mark.parametrize(("answer", "works"), [("exit 0", True), ("exit 9", False)])
def test_an_nvidia_smi_counts_only_if_it_finds_a_driver(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, works: bool
) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has the driver itself")
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert install.has_nvidia_driver() is works


def test_an_older_python_is_refused_in_one_line(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.sys, "version_info", (3, 10, 13))
    with pytest.raises(install.SetupError, match=r"^Python 3\.11 or newer is needed, not .* PYTHON3=python3\.11`$"):
        install.check_machine()


def test_a_python_without_ensurepip_names_the_package_to_install(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(install.SetupError, match=r"sudo apt install python3\.\d+-venv"):
        install.check_machine()
