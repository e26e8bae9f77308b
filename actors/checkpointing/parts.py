"""A checkpoint's files, written by the nodes that hold them in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt
import ray

from museg.runs.manifest import FileRecord, Records, write_recorded

if TYPE_CHECKING:
    import numpy as np


# No CPU is reserved: it mostly waits for the disk, and all the run's CPUs belong to its workers.
@ray.remote(num_cpus=0)
def write_part(checkpoint: Path, folder: str, files: Mapping[str, npt.NDArray[np.uint8]]) -> Records:
    """Write files below `checkpoint / folder`; their records, under their paths within the checkpoint.

    A task beside the workers, so that it goes on while they work, and is done again where its process dies.

    Raises:
        OSError: there is no room, or the disk fails.
    """
    records: dict[str, FileRecord] = {}
    for name, content in files.items():
        path = os.path.join(folder, name)
        records[path] = write_recorded(content.data, checkpoint / path)
    return records
