"""Greedy answers of the warm start's model, for its score; the service generates with vLLM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, Qwen2_5_VLForConditionalGeneration

from museg.policy.inputs import PromptInputs


@torch.no_grad()
def greedy_completions(
    model: Qwen2_5_VLForConditionalGeneration,
    prompts: Sequence[PromptInputs],
    *,
    max_tokens: int,
    stop_token_id: int,
    forbidden_token_ids: Sequence[int],
) -> list[list[int]]:
    """The most likely completion of each prompt, without the stop token, all prompts as one batch.

    Positions are the engine's (`PromptInputs.positions`), which `model.generate` wouldn't use.
    """
    input_ids, mask, positions = _padded_on_the_left(prompts, model.config.text_config.pad_token_id)
    vision = {
        "pixel_values_videos": torch.cat([prompt.pixel_values for prompt in prompts]),
        "video_grid_thw": torch.cat([prompt.grid_thw for prompt in prompts]),
    }
    cache = DynamicCache(config=model.config.text_config)
    next_positions = torch.tensor([prompt.next_position for prompt in prompts])
    tokens = torch.empty((len(prompts), 0), dtype=torch.int64)
    for step in range(max_tokens):
        logits = model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **(vision if step == 0 else {}),
        ).logits[:, -1]
        input_ids = logits.index_fill(1, torch.tensor(forbidden_token_ids), -torch.inf).argmax(dim=1, keepdim=True)
        tokens = torch.cat([tokens, input_ids], dim=1)
        if (tokens == stop_token_id).any(dim=1).all():
            break
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        positions = (next_positions + step).view(1, -1, 1).expand(3, -1, -1)
    return [_until_stop(row, stop_token_id) for row in tokens.tolist()]


def _padded_on_the_left(
    prompts: Sequence[PromptInputs], pad_token_id: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids `[B, T]`, attention mask `[B, T]` and positions `[3, B, T]` of prompts that all end at T."""
    longest = max(prompt.num_tokens for prompt in prompts)
    input_ids = torch.full((len(prompts), longest), pad_token_id)
    mask = torch.zeros((len(prompts), longest), dtype=torch.int64)
    positions = torch.zeros((3, len(prompts), longest), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        start = longest - prompt.num_tokens
        input_ids[row, start:] = prompt.input_ids
        mask[row, start:] = 1
        positions[:, row, start:] = prompt.positions
    return input_ids, mask, positions


def _until_stop(tokens: list[int], stop_token_id: int) -> list[int]:
    return tokens[: tokens.index(stop_token_id)] if stop_token_id in tokens else tokens
