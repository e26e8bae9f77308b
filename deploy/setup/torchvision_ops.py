"""Let a CUDA build of torchvision import beside a CPU build of torch.

The plain Python package index carries only torchvision's CUDA build. Beside CPU torch its compiled
library can't load, and the import stops at `torchvision::nms` and `torchvision::qnms`, whose schemas
that library would have declared. This module declares the two schemas right before torchvision is first imported.
It does nothing where torchvision is whole. `install.py` puts it beside a `.pth` file in the virtual
environment, so that every Python process of that environment (Ray's and vLLM's workers too) has it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class TorchvisionOpsFinder(importlib.abc.MetaPathFinder):
    """Declares the missing schemas when `torchvision` is about to be imported, then steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torchvision")
        if spec is not None and not _compiled_library_loads(spec):
            _declare_schemas()
        return None


def _compiled_library_loads(spec: importlib.machinery.ModuleSpec) -> bool:
    import pathlib

    import torch

    for folder in spec.submodule_search_locations or ():
        for library in pathlib.Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                return False
    return True


def _declare_schemas() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _LIBRARIES.append(library)


_LIBRARIES: list[object] = []  # torch drops the schemas with the Library object

if not any(type(finder).__name__ == "TorchvisionOpsFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, TorchvisionOpsFinder())
