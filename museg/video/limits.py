"""What one video may cost before it counts as bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from museg.config.schema import VideoConfig

GIB = 1 << 30

MAX_FPS = 1000.0
"""No camera's footage plays faster; a damaged header may say anything."""

MAX_DURATION_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """Bounds on a file, on what its header announces, and on the process that decodes it."""

    max_file_bytes: int = 16 * GIB
    max_native_frames: int = 2_000_000
    max_native_pixels: int = 36_000_000
    """Area of a stored picture."""
    timeout_s: float = 120.0
    memory_bytes: int = 8 * GIB
    """Address space of the decoding process."""
    attempts: int = 3
    """Decoding processes that one video may cost."""

    @property
    def max_file_gib(self) -> float:
        return self.max_file_bytes / GIB

    @property
    def memory_gib(self) -> float:
        return self.memory_bytes / GIB

    @classmethod
    def from_config(cls, video: VideoConfig) -> DecodeLimits:
        return cls(
            max_file_bytes=int(video.max_file_gib * GIB),
            max_native_frames=video.max_native_frames,
            max_native_pixels=video.max_native_pixels,
            timeout_s=video.decode_timeout_s,
            memory_bytes=int(video.decode_memory_gib * GIB),
            attempts=video.decode_attempts,
        )
