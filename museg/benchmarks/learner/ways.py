"""One learner's step (scores, loss, backward) in the two ways that are compared: prompt shared, prompt repeated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.benchmarks.learner.material import LearnerWork, Material
from museg.config.schema import Config, GRPOConfig
from museg.grpo.losses import grpo_loss
from museg.grpo.variants import loss_settings
from museg.policy.logprobs import CompletionLogprobs, completion_logprobs
from museg.policy.packing import pack_groups

TEMPERATURE = 0.9
KL_BETA = 0.04

Scores = Callable[[], CompletionLogprobs]
"""A group's logprobs in some way; with gradient where torch records it."""


def shared_prompt(policy: torch.nn.Module, material: Material) -> Scores:
    """Ours: `[prompt, c1 … cG]` in one sequence, packed anew at each call, as the learner does."""
    device = next(policy.parameters()).device

    def scores() -> CompletionLogprobs:
        packed = pack_groups([(material.prompt, material.completions)]).to(device)
        [group] = completion_logprobs(policy, packed, temperature=TEMPERATURE, forbidden_token_ids=())
        return group

    return scores


def repeated_prompt(model: Qwen2_5_VLForConditionalGeneration, material: Material) -> Scores:
    """The naive way: G rows of prompt and completion, each with its own pixels through the tower.

    It is transformers' model as it is, with its SDPA attention: rows padded on the right, logits at the completions'
    positions alone. Where no row is padded, transformers leaves the mask out and attends causally, its fastest way.
    """
    device, prompt, group_size = next(model.parameters()).device, material.prompt, len(material.completions)

    def scores() -> CompletionLogprobs:
        lengths = torch.tensor([len(completion) for completion in material.completions])
        own = pad_sequence([torch.tensor(completion) for completion in material.completions], batch_first=True)
        mask = torch.arange(own.shape[1]) < lengths.unsqueeze(1)
        own_positions = (prompt.next_position + torch.arange(own.shape[1])).expand(3, -1)
        positions = torch.cat([prompt.positions, own_positions], dim=1).unsqueeze(1).expand(-1, group_size, -1)
        output = model(
            input_ids=torch.cat([prompt.input_ids.expand(group_size, -1), own], dim=1).to(device),
            attention_mask=torch.cat([mask.new_ones(group_size, prompt.num_tokens), mask], dim=1).long().to(device),
            position_ids=positions.to(device),
            pixel_values_videos=prompt.pixel_values.repeat(group_size, 1).to(device),
            video_grid_thw=prompt.grid_thw.repeat(group_size, 1).to(device),
            logits_to_keep=own.shape[1] + 1,
            use_cache=False,
        )
        mask, own = mask.to(device), own.to(device)
        distribution = (output.logits[:, :-1].float() / TEMPERATURE).log_softmax(dim=-1)
        logprobs = distribution.gather(2, own.unsqueeze(2)).squeeze(2)
        with torch.no_grad():
            entropies = torch.special.entr(distribution.exp()).sum(dim=-1)
        return CompletionLogprobs(
            logprobs=logprobs.masked_fill(~mask, 0.0), entropies=entropies.masked_fill(~mask, 0.0), mask=mask
        )

    return scores


def learner_step(
    scores: Scores, material: Material, parameters: list[torch.nn.Parameter], work: LearnerWork
) -> torch.Tensor:
    """Score, take MUSEG's loss, leave its gradient on the parameters; the group's logprobs `[G, C]`."""
    for parameter in parameters:
        parameter.grad = None
    reference = None
    if work.with_reference:
        with torch.no_grad():
            reference = scores().logprobs
    scored = scores()
    grpo = GRPOConfig() if work.with_reference else GRPOConfig(kl_beta=0.0)
    loss = grpo_loss(
        loss_settings(Config(grpo=grpo)),
        logprobs=scored.logprobs,
        mask=scored.mask,
        advantages=material.advantages,
        totals=material.totals,
        reference_logprobs=reference,
    )
    loss.loss.backward()
    return scored.logprobs.detach()
