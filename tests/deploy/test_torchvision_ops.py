"""The import hook for a CUDA build of torchvision beside CPU torch, each case in a Python process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).resolve().parents[2] / "deploy" / "setup" / "torchvision_ops.py"

IS_DECLARED = """
import torch
try:
    torch.ops.torchvision.nms
    print("declared")
except AttributeError:
    print("absent")
"""


def _python(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in an isolated process that has the test's folders, then the installed packages, but no `.pth` hook."""
    packages = [str(Path(pytest.__file__).parents[1])]
    prelude = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}; sys.path += {packages!r}\n"
    command = [sys.executable, "-I", "-S", "-c", prelude + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def hook_folder(tmp_path: Path) -> Path:
    """A folder from which `import museg_torchvision_ops` installs the hook."""
    folder = tmp_path / "hook"
    folder.mkdir()
    shutil.copyfile(HOOK, folder / "museg_torchvision_ops.py")
    return folder


def _fake_torchvision(folder: Path, code: str = "") -> Path:
    package = folder / "whole" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"WHOLE = True\n{code}")
    return package.parent


def _needs_the_hook() -> bool:
    return "torchvision::nms" in _python("import torchvision").stderr


@pytest.mark.slow
def test_the_installed_torchvision_imports_with_the_hook(hook_folder: Path) -> None:
    done = _python("import museg_torchvision_ops, torchvision; print(torchvision.__version__)", hook_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0.28.0")


@pytest.mark.slow
def test_without_the_hook_a_cuda_build_fails_at_nms_and_with_it_nms_has_a_schema(hook_folder: Path) -> None:
    if not _needs_the_hook():
        pytest.skip("this machine's torchvision is whole")
    done = _python("import museg_torchvision_ops, torchvision\n" + IS_DECLARED, hook_folder)
    assert done.stdout.strip() == "declared", done.stderr


def test_a_whole_torchvision_is_left_alone_and_the_hook_is_gone_after_it(tmp_path: Path, hook_folder: Path) -> None:
    whole = _fake_torchvision(tmp_path)
    code = "import museg_torchvision_ops as hook, torchvision; assert torchvision.WHOLE\n" + IS_DECLARED
    code += "print([finder for finder in sys.meta_path if isinstance(finder, hook.TorchvisionOpsFinder)])"
    done = _python(code, hook_folder, whole)
    assert done.stdout.split() == ["absent", "[]"], done.stderr


def test_a_library_that_cannot_load_gets_the_schemas_before_the_package_runs(tmp_path: Path, hook_folder: Path) -> None:
    package = _fake_torchvision(tmp_path, IS_DECLARED).joinpath("torchvision")
    (package / "_C.so").write_bytes(b"not a library")
    done = _python("import museg_torchvision_ops, torchvision", hook_folder, package.parent)
    assert done.stdout.strip() == "declared", done.stderr


def test_the_hook_costs_nothing_until_torchvision_is_imported(hook_folder: Path) -> None:
    done = _python("import museg_torchvision_ops; print('torch' in sys.modules)", hook_folder)
    assert done.stdout.strip() == "False", done.stderr


def test_no_torchvision_at_all_is_the_usual_import_error(tmp_path: Path, hook_folder: Path) -> None:
    bare = "sys.path[:] = [folder for folder in sys.path if 'site-packages' not in folder]"
    done = _python(f"import museg_torchvision_ops; {bare}; import torchvision", hook_folder)
    assert "ModuleNotFoundError: No module named 'torchvision'" in done.stderr
