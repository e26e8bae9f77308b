"""A frozen vision tower by itself, and a video as it sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.dlpack import from_dlpack
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.policy.patches import Patcher
from museg.video.clip import VideoClip


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVideo:
    """What a frozen tower makes of a clip; it stands for the clip with policy, reference and generators.

    Letters: V merged visual tokens, h hidden size of the language model.
    """

    video: str
    """Path as the sample names it."""
    values: npt.NDArray[np.float32] | npt.NDArray[np.uint16]
    """`[V, h]`, an array, so that processes can share it without a copy; bfloat16 is there by its bits, as uint16."""
    grid_thw: tuple[int, int, int]
    """Patches over time, height and width."""
    second_per_grid_s: float
    """Seconds of video between two temporal grid steps, frames of a patch / sampled frames a second."""

    @property
    def embeddings(self) -> torch.Tensor:
        """`[V, h]` in the tower's dtype, on the memory of `values`: not to be changed."""
        # Unlike `from_numpy`, this takes the object store's read-only arrays without a warning.
        values = from_dlpack(self.values)
        return values.view(torch.bfloat16) if values.dtype is torch.uint16 else values


class VisionTower:
    """The vision tower of a policy that trains without it: whole on every rank, never differentiated.

    tower = VisionTower.taken_from(policy, Patcher.from_folder(path))   # the policy is left without one
    embedded = tower.embed(clip)
    """

    def __init__(self, module: torch.nn.Module, patcher: Patcher) -> None:
        self._module = module.requires_grad_(False).eval()
        self._patcher = patcher

    @classmethod
    def taken_from(cls, policy: Qwen2_5_VLForConditionalGeneration, patcher: Patcher) -> Self:
        """Take the tower out of a model, which from then on takes embeddings alone."""
        module = policy.model.visual
        del policy.model.visual
        return cls(module, patcher)

    def to(self, device: torch.device) -> Self:
        """Move the tower."""
        self._module.to(device)
        return self

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Its parameters under the names that they have in a whole model's Hugging Face folder."""
        for name, parameter in self._module.named_parameters():
            yield f"model.visual.{name}", parameter

    @torch.no_grad()
    def embed(self, clip: VideoClip) -> EmbeddedVideo:
        """Run the tower over a clip."""
        pixel_values, grid_thw = self._patcher.cut(clip.frames)
        first = next(self._module.parameters())
        embeddings = self._module(
            pixel_values.to(first.device, first.dtype), grid_thw=torch.tensor([grid_thw], device=first.device)
        ).pooler_output.cpu()
        if embeddings.dtype is torch.bfloat16:
            embeddings = embeddings.view(torch.uint16)
        return EmbeddedVideo(
            video=clip.video,
            values=embeddings.numpy(),
            grid_thw=grid_thw,
            second_per_grid_s=self._patcher.num_times / clip.sample_fps,
        )
