"""Qwen2.5-VL as the learner has it: its forward takes packed groups and gives their tokens' log-probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)

from museg.policy.scoring import ScoringHead
from museg.policy.tower import quicken
from museg.policy.vision import VisionTower

if TYPE_CHECKING:
    from museg.policy.packing import PackedGroups


class PackedPolicy(Qwen2_5_VLForConditionalGeneration):
    """A Qwen2.5-VL with the parameters, names and checkpoints of transformers' own.

    Called with `packed` it scores; otherwise it is transformers' model. All of the work is inside its forward, so that
    an engine around it (DeepSpeed) sees it.
    """

    frozen_tower: VisionTower | None = None
    """The vision tower where it is frozen: then it is no part of this module, and packs hold what it embedded."""

    def __init__(self, config: Qwen2_5_VLConfig) -> None:
        super().__init__(config)
        quicken(self.model.visual)
        self.lm_head = ScoringHead(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        *args: object,
        packed: PackedGroups | None = None,
        temperature: float = 1.0,
        forbidden_token_ids: tuple[int, ...] = (),
        **kwargs: object,
    ) -> object:
        """Log-probabilities and entropies, float32 `[N]` each, of the pack's N completion tokens.

        The tower runs once a video of the pack, the language model once over its sequence, and the head over those
        positions alone that predict a completion's token.
        """
        if packed is None:
            return super().forward(*args, **kwargs)
        hidden = self.model.language_model(
            inputs_embeds=self._embedded(packed),
            position_ids=packed.positions,
            # Of every type that the layers have: the layout says who sees whom.
            attention_mask=dict.fromkeys(self.config.text_config.layer_types),
            packed_layout=packed.layout,
            use_cache=False,
        ).last_hidden_state[0]
        return self.lm_head(
            hidden.index_select(0, packed.predicting),
            packed.targets,
            temperature=temperature,
            forbidden_token_ids=forbidden_token_ids,
        )

    def _embedded(self, packed: PackedGroups) -> torch.Tensor:
        """`[1, S, h]`, the videos' tokens in their prompts' places."""
        tokens, seen = self.get_input_embeddings()(packed.input_ids[0]), packed.embeddings
        if seen is None:
            tower = self.model.visual
            seen = tower(packed.pixel_values.to(tower.dtype), grid_thw=packed.grid_thw).pooler_output
        if packed.videos != tuple(range(len(packed.grid_thw))):
            sizes = packed.grid_thw.prod(dim=1) // self.config.vision_config.spatial_merge_size**2
            of_video = seen.split(sizes.tolist())
            seen = torch.cat([of_video[video] for video in packed.videos])
        placeholders = (packed.input_ids[0] == self.config.video_token_id).nonzero().squeeze(1)
        return tokens.index_copy(0, placeholders, seen.to(tokens.dtype)).unsqueeze(0)


# Transformers would read the weights' names in an older folder for its own class alone.
register_checkpoint_conversion_mapping(
    PackedPolicy.__name__,
    get_checkpoint_conversion_mapping(Qwen2_5_VLForConditionalGeneration.__name__),
    overwrite=True,
)
