"""GPU types: what their makers promise."""

from __future__ import annotations

from dataclasses import dataclass

from museg.config.choices import DType


@dataclass(frozen=True, slots=True, kw_only=True)
class GPU:
    """One device; dense operations, decimal units."""

    name: str
    bfloat16_tflops: float
    float32_tflops: float
    memory_gb: float
    memory_gb_per_s: float
    link_gb_per_s: float
    """To the other GPUs of a node, in one direction."""

    def peak(self, dtype: DType) -> float:
        """Operations a second."""
        return 1e12 * (self.bfloat16_tflops if dtype is DType.bfloat16 else self.float32_tflops)


def _gpu(name: str, bfloat16: float, float32: float, memory: float, bandwidth: float, link: float) -> GPU:
    return GPU(
        name=name,
        bfloat16_tflops=bfloat16,
        float32_tflops=float32,
        memory_gb=memory,
        memory_gb_per_s=bandwidth,
        link_gb_per_s=link,
    )


# NVIDIA's data sheets of A100 (SXM), L40S, H100 (SXM), H200 (SXM) and HGX B200, without sparsity.
GPUS = {
    "a100-40": _gpu("A100 40 GB", 312, 19.5, 40, 1555, 300),
    "a100-80": _gpu("A100 80 GB", 312, 19.5, 80, 2039, 300),
    "l40s": _gpu("L40S", 362, 91.6, 48, 864, 32),
    "h100": _gpu("H100", 989, 67, 80, 3350, 450),
    "h200": _gpu("H200", 989, 67, 141, 4800, 450),
    "b200": _gpu("B200", 2250, 75, 180, 8000, 900),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Shares of a GPU's promises that work keeps. Assumptions, not measurements."""

    compute: float = 0.4
    """Of peak operations, in forwards and backwards of long sequences."""
    bandwidth: float = 0.6
    """Of the memory's bandwidth, while decoding."""
    link: float = 0.75
    """Of the links' bandwidth, in collectives."""
