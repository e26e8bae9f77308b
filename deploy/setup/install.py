"""Creates `.venv` and installs the pinned stack and the project into it. Called by `make setup`; needs no root.

    python3 deploy/setup/install.py [--stack cpu|cuda]

A stamp in `.venv` says what was installed, so that a second call installs nothing. An interrupted call leaves a marker
there, and the next one starts afresh. pip's own output is kept in `.venv/museg-setup.log`.
Standard library only: it runs on the system's Python, before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "museg-setup.json"
UNFINISHED = VENV / "museg-setup.unfinished"
LOG = VENV / "museg-setup.log"

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
BUILD_TOOLS = ("setuptools", "wheel")
FROM_SOURCE = ("deepspeed",)
HOOK = "museg_torchvision_ops"
INSTALL = ("install", "--no-deps", "--no-compile", "--progress-bar", "off")


class SetupError(Exception):
    """What stopped the set-up and how to mend it, in one line."""


def check_machine() -> None:
    """Raises SetupError where the pinned stack can't be installed."""
    if sys.version_info < (3, 11):  # noqa: UP036  (the interpreter of the user's choice, not the project's)
        found = f"{platform.python_version()} at {sys.executable}"
        raise SetupError(
            f"Python 3.11 or newer is needed, not {found}: install one, then `make setup PYTHON3=python3.11`"
        )
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = f"{platform.system()} on {platform.machine()}"
        raise SetupError(f"the pinned stack is for Linux on x86_64, not {found}: use such a machine or container")
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(f"this Python has no ensurepip, which creates .venv: `sudo apt install {package}` (once)")


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver works here: its kernel module is loaded, or (WSL, containers) nvidia-smi answers."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi is None:
        return False
    try:
        return subprocess.run([nvidia_smi, "-L"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def read_stamp() -> dict[str, object]:
    """The last finished set-up, or an empty dictionary."""
    if not (STAMP.exists() and PYTHON.exists()) or UNFINISHED.exists():
        return {}
    try:
        stamp = json.loads(STAMP.read_text())
    except json.JSONDecodeError:
        return {}
    return stamp if isinstance(stamp, dict) else {}


def read_pins(stack: str) -> dict[str, str]:
    """Package name to version, from the stack's requirements file."""
    lines = (ROOT / "deploy" / "requirements" / f"{stack}.txt").read_text().splitlines()
    return dict(line.strip().split("==", 1) for line in lines if line.strip() and not line.startswith("#"))


def wanted_stamp(stack: str, pins: dict[str, str]) -> dict[str, object]:
    """What the stamp will say: all that decides what gets installed, and where, since `.venv` can't be moved."""
    sources = [ROOT / "pyproject.toml", *sorted(Path(__file__).parent.glob("*.py"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return {"stack": stack, "root": str(ROOT), "sources": digest, "pins": pins}


class Pip:
    """pip of `.venv`, quiet: its output goes to the log, whose end is shown where it fails."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "DS_BUILD_OPS": "0"}
        for name in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX"):
            self.environment.pop(name, None)

    def python(self, *arguments: str) -> tuple[bool, str]:
        """Runs `.venv/bin/python ARGUMENTS`; returns whether it succeeded, and its output."""
        with LOG.open("a+", errors="replace") as log:
            log.seek(0, os.SEEK_END)
            start = log.tell()
            log.write(f"\n$ python {' '.join(arguments)}\n")
            log.flush()
            command = [str(PYTHON), *arguments]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=ROOT, check=False
            )
            log.seek(start)
            return done.returncode == 0, log.read()

    def run(self, *arguments: str) -> tuple[bool, str]:
        """Runs `pip ARGUMENTS`; returns whether it succeeded, and its output."""
        return self.python("-m", "pip", "--no-input", "--disable-pip-version-check", "--no-color", *arguments)

    def install(self, *arguments: str) -> None:
        """Installs exactly what is named, without its dependencies. Raises SetupError with the end of pip's output."""
        succeeded, output = self.run(*INSTALL, *arguments)
        if not succeeded:
            raise _failure(output)


def _failure(output: str) -> SetupError:
    lines = [line for line in output.splitlines() if line.strip() and "is ignored: it is neither" not in line]
    print("\n" + "\n".join(lines[-10:]), file=sys.stderr)
    return SetupError(
        f"pip failed (its last lines are above, all of it is in {LOG}): mend that and call `make setup` again"
    )


def install_cpu_torch(pip: Pip, version: str) -> None:
    """Installs the CPU build of torch from where pip is configured to look, else from PyTorch's own index.

    In this order, since a machine that was given a folder or mirror often can't reach that index and would wait for it.
    """
    arguments = (*INSTALL, "--only-binary=:all:", f"torch=={version}")
    succeeded, output = pip.run(*arguments)
    if not succeeded and re.search(r"No matching distribution|Could not find a version", output):
        print(f" not where pip looks, trying {TORCH_CPU_INDEX} ...", end="", flush=True)
        succeeded, output = pip.run(*arguments, "--index-url", TORCH_CPU_INDEX, "--retries", "2", "--timeout", "20")
    if not succeeded:
        raise _failure(output)


def create_venv(afresh: bool) -> None:
    """Makes `.venv` with the system's Python, marked as unfinished until everything is in it."""
    if afresh and VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    if PYTHON.exists():
        return
    system_python = getattr(
        sys, "_base_executable", sys.executable
    )  # not .venv's own, which may just have been removed
    done = subprocess.run([system_python, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"`{system_python} -m venv` failed: {' '.join((done.stdout + done.stderr).split())[-300:]}")


def site_packages() -> Path:
    """Where `.venv` keeps its packages."""
    return next(VENV.glob("lib/python3*/site-packages"))


def install_hook(stack: str) -> None:
    """Puts the torchvision import hook into `.venv` where torch is the CPU build, and takes it out elsewhere."""
    module, loader = site_packages() / f"{HOOK}.py", site_packages() / f"{HOOK}.pth"
    if stack == "cpu":
        shutil.copyfile(Path(__file__).with_name("torchvision_ops.py"), module)
        loader.write_text(f"import {HOOK}\n")
    else:
        module.unlink(missing_ok=True)
        loader.unlink(missing_ok=True)


def install(stack: str, pins: dict[str, str], dropped: list[str]) -> None:
    """Installs the stack and the project, a printed line for each phase."""
    pip = Pip()
    exact = {name: f"{name}=={version}" for name, version in pins.items()}
    by_hand = {*BUILD_TOOLS, *FROM_SOURCE, *(("torch",) if stack == "cpu" else ())}
    wheels = [pin for name, pin in exact.items() if name not in by_hand]
    if dropped:
        with phase(f"removing {len(dropped)} packages that are no longer pinned"):
            pip.run("uninstall", "--yes", *dropped)
    with phase("build tools"):
        pip.install(*(exact[name] for name in BUILD_TOOLS))
    if stack == "cpu":
        with phase(f"torch {pins['torch']}"):
            install_cpu_torch(pip, pins["torch"])
    with phase(f"{len(wheels)} pinned packages"):
        pip.install("--only-binary=:all:", *wheels)
    with phase(f"{', '.join(exact[name] for name in FROM_SOURCE)} (from source)"):
        pip.install("--no-build-isolation", *(exact[name] for name in FROM_SOURCE))
    with phase("byte code"):  # pip would do it too, on one core; files of another Python version that fail do no harm
        pip.python("-m", "compileall", "-q", "-j", "0", str(site_packages()))
    with phase("museg itself"):
        pip.install("--no-build-isolation", "--editable", str(ROOT))
        install_hook(stack)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Prints what is being done, and how long it took."""
    start_s = time.monotonic()
    print(f"  {name} ...", end="", flush=True)
    with contextlib.ExitStack() as unless_done:
        unless_done.callback(print, flush=True)
        yield
        unless_done.pop_all()
    print(f" {time.monotonic() - start_s:.0f} s", flush=True)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds this checkout's lock, so that two calls of make don't install over each other."""
    with Path(__file__).open("r+") as lock:  # writable, as NFS wants it for a lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up of this checkout", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def choose_stack(last: dict[str, object]) -> str:
    """The stack of the last set-up; without one, as the driver says."""
    kept = last.get("stack")
    if isinstance(kept, str):
        return kept
    return "cuda" if has_nvidia_driver() else "cpu"


def set_up(stack: str | None) -> None:
    """Brings `.venv` to the pinned state; does nothing where it is there already."""
    last = read_stamp()
    stack = stack or choose_stack(last)
    pins = read_pins(stack)
    wanted = wanted_stamp(stack, pins)
    if last == wanted:
        return
    check_machine()
    with one_at_a_time():
        last = read_stamp()
        if last == wanted:
            return
        start_s = time.monotonic()
        print(f"Setting up .venv ({stack} stack; once, a few minutes)", flush=True)
        moved = bool(last) and (last["stack"], last["root"]) != (stack, str(ROOT))
        create_venv(afresh=UNFINISHED.exists() or not PYTHON.exists() or moved)
        before = last.get("pins")
        dropped = sorted(set(before) - set(pins)) if isinstance(before, dict) and not moved else []
        install(stack, pins, dropped)
        STAMP.write_text(json.dumps(wanted, indent=1) + "\n")
        UNFINISHED.unlink()
        print(f"Set up in {time.monotonic() - start_s:.0f} s", flush=True)


def main() -> int:
    """Runs the set-up; returns the exit code."""
    parser = argparse.ArgumentParser(description="Create .venv and install the pinned stack and the project into it.")
    parser.add_argument(
        "--stack", choices=["cpu", "cuda"], help="default: cuda where there is an NVIDIA driver, else cpu"
    )
    try:
        set_up(parser.parse_args().stack)
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the next `make setup` starts afresh", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
