"""Frames at the size that the policy sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate


def resize(frame: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """A frame `[H, W, 3]` at `[height, width, 3]`: bicubic, antialiased, rounded, as torchvision resizes uint8 tensors.

    One frame at a time, which stays in the processor's cache: a clip at once gives the same values and takes longer.
    """
    channels_first = torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous().float()
    resized = interpolate(channels_first, (height, width), mode="bicubic", align_corners=False, antialias=True)
    channels_last = resized.clamp_(0, 255).round_().to(torch.uint8)[0].permute(1, 2, 0)
    pixels: npt.NDArray[np.uint8] = channels_last.numpy()
    return pixels
