"""Frames cut into the vision tower's patches, value for value as the model's own video processor cuts them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoVideoProcessor, BaseVideoProcessor

from museg.errors import ModelError


class Patcher:
    """Turns a clip's frames into normalised patches by the settings of a model's video processor.

    The frames are at their final size and rate, so of the processor's work only this is left, and it is a copy in uint8
    and two operations on floats instead of a dozen copies in floats.
    """

    def __init__(self, processor: BaseVideoProcessor) -> None:
        if not (processor.do_rescale and processor.do_normalize):
            raise ModelError("the model's video processor doesn't rescale and normalise: take Qwen2.5-VL's own")
        self.patch_size: int = processor.patch_size
        self.merge_size: int = processor.merge_size
        self.num_times: int = processor.temporal_patch_size
        values_of_channel = self.num_times * self.patch_size**2
        # `[D]`; the processor too multiplies first and subtracts then, in float32.
        self._mean, self._std = (
            (torch.tensor(values) * (1.0 / processor.rescale_factor)).repeat_interleave(values_of_channel)
            for values in (processor.image_mean, processor.image_std)
        )
        self.no_patches = self._mean.new_empty(0, len(self._mean))

    @classmethod
    def from_folder(cls, path: Path) -> Self:
        """Of a model folder that `check_model_folder` has seen."""
        return cls(AutoVideoProcessor.from_pretrained(path, trust_remote_code=False))

    def cut(self, frames: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """Patches of frames `[F, H, W, 3]`; a last frame without a partner is repeated.

        Returns:
            Float32 `[N, D]`, merged neighbours next to each other, and the grid over time, height and width in patches.
        """
        if missing := -len(frames) % self.num_times:
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        num_t = len(frames) // self.num_times
        num_h, num_w = (size // self.patch_size for size in frames.shape[1:3])
        merge, patch = self.merge_size, self.patch_size
        blocks = frames.reshape(num_t, self.num_times, num_h // merge, merge, patch, num_w // merge, merge, patch, 3)
        patches = np.ascontiguousarray(blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7))
        values = torch.from_numpy(patches).view(num_t * num_h * num_w, -1).float()
        return values.sub_(self._mean).div_(self._std), (num_t, num_h, num_w)
