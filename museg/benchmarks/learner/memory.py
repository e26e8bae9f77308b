"""Peak memory of a learner's step, each in a process of its own, since freed pages of one step stay for the next."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from museg.benchmarks.learner.material import LearnerWork, make_material
from museg.benchmarks.learner.models import build_policy, plain_twin
from museg.benchmarks.learner.ways import learner_step, repeated_prompt, shared_prompt

Way = Literal["ours", "naive"]
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_M_MMAP_THRESHOLD = -3
"""glibc's malloc.h."""
_GIVEN_BACK_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Resident memory of the process, or on CUDA what torch has allocated on the device."""

    peak_bytes: int
    """The highest during the step, model and interpreter included."""
    before_bytes: int
    """Before the step: model and inputs, no gradients."""

    @property
    def step_bytes(self) -> int:
        """What the step added: gradients and activations."""
        return self.peak_bytes - self.before_bytes


def measure_memory(work: LearnerWork) -> Mapping[str, float]:
    """`memory_ratio`: peak of a group's step over that of one completion's; the same above what was there before."""
    one = _in_a_fresh_process(replace(work, group_size=1), "ours")
    group = _in_a_fresh_process(work, "ours")
    naive = _in_a_fresh_process(work, "naive")
    return {
        "memory_ratio": group.peak_bytes / one.peak_bytes,
        "memory_ratio_above_model": group.step_bytes / one.step_bytes,
        "memory_naive_ratio": naive.peak_bytes / one.peak_bytes,
        "memory_naive_ratio_above_model": naive.step_bytes / one.step_bytes,
        "memory_one_mib": one.peak_bytes / 2**20,
        "memory_group_mib": group.peak_bytes / 2**20,
        "memory_naive_mib": naive.peak_bytes / 2**20,
        "memory_before_mib": group.before_bytes / 2**20,
    }


def step_memory(work: LearnerWork, way: Way) -> StepMemory:
    """Run one step in this process and watch its memory; meaningful where the process has done nothing else."""
    torch.set_num_threads(work.threads)
    _give_back_what_is_freed()
    policy, material = build_policy(work), make_material(work)
    scores = shared_prompt(policy, material) if way == "ours" else repeated_prompt(plain_twin(policy, work), material)
    gc.collect()
    before = _start_watching(work.device)
    learner_step(scores, material, list(policy.parameters()), work)
    return StepMemory(peak_bytes=_peak(work.device), before_bytes=before)


def _in_a_fresh_process(work: LearnerWork, way: Way) -> StepMemory:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(step_memory, work, way).result()


def _give_back_what_is_freed() -> None:
    """Have large blocks returned to the system when they are freed.

    By itself glibc comes to keep them, by rules that depend on their order: one step's peak then differs by 10%.
    """
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK_BYTES)


def _start_watching(device: str) -> int:
    """Bytes in use; the peak counts from here."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    # Linux: sets the process's peak to what it has now (proc(5)).
    _CLEAR_REFS.write_text("5")
    return _resident("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _resident("VmHWM")


def _resident(name: str) -> int:
    """Bytes of a field of /proc/self/status, which is in KiB."""
    [line] = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
