"""The packed group against the naive way: every completion alone behind its own prompt and pixels, plain attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.policy.inputs import PromptEncoder, PromptInputs, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import CompletionLogprobs, completion_logprobs
from museg.policy.packing import pack_groups
from museg.policy.scoring import ScoringHead
from tests.museg.policy.material import PROMPT, make_clip

TEMPERATURE = 0.9
GROUPS = {
    "one completion": [7],
    "one token each": [1, 1],
    "mixed lengths": [5, 1, 9],
    "equal lengths": [6, 6, 6, 6],
    "eight": [3, 12, 1, 8, 8, 2, 20, 5],
}


@pytest.fixture(scope="module")
def prompt(encoder: PromptEncoder) -> PromptInputs:
    return encoder.encode(PROMPT, make_clip(num_frames=12, height=84, width=140))


def completions_of(lengths: Sequence[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(len(lengths))
    return [torch.randint(1, 600, (length,), generator=generator).tolist() for length in lengths]


def naive_logprobs(
    model: Qwen2_5_VLForConditionalGeneration, prompt: PromptInputs, completion: list[int], forbidden: Sequence[int]
) -> torch.Tensor:
    """Log-probabilities of one completion `[C]`, by itself."""
    own_positions = prompt.next_position + torch.arange(len(completion))
    logits = model(
        input_ids=torch.cat([prompt.input_ids, torch.tensor(completion)])[None],
        position_ids=torch.cat([prompt.positions, own_positions.expand(3, -1)], dim=1)[:, None],
        pixel_values_videos=prompt.pixel_values,
        video_grid_thw=prompt.grid_thw,
    ).logits[0, prompt.num_tokens - 1 : -1]
    logits[:, list(forbidden)] = -torch.inf
    return (logits / TEMPERATURE).log_softmax(dim=-1).gather(1, torch.tensor(completion)[:, None])[:, 0]


def weighted_sum(logprobs: Sequence[torch.Tensor]) -> torch.Tensor:
    """A loss that weighs every completion and token differently."""
    return sum(
        ((-1) ** g * (g + 1) * values * torch.linspace(0.5, 1.5, len(values))).mean()
        for g, values in enumerate(logprobs)
    )


def gradients(model: Qwen2_5_VLForConditionalGeneration) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("gradient_checkpointing", [False, True], ids=["stored", "checkpointed"])
@pytest.mark.parametrize("lengths", GROUPS.values(), ids=GROUPS)
def test_packed_logprobs_and_gradients_equal_those_of_completions_alone(
    model_folder: Path, encoder: PromptEncoder, prompt: PromptInputs, lengths: list[int], gradient_checkpointing: bool
) -> None:
    completions, forbidden = completions_of(lengths), vision_token_ids(encoder.tokenizer)
    naive = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, attn_implementation="sdpa")
    expected = [naive_logprobs(naive, prompt, completion, forbidden) for completion in completions]
    weighted_sum(expected).backward()

    policy = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=gradient_checkpointing)
    [scored] = completion_logprobs(
        policy, pack_groups([(prompt, completions)]), temperature=TEMPERATURE, forbidden_token_ids=forbidden
    )
    weighted_sum([row[mask] for row, mask in zip(scored.logprobs, scored.mask, strict=True)]).backward()

    for row, mask, alone in zip(scored.logprobs, scored.mask, expected, strict=True):
        torch.testing.assert_close(row[mask], alone, atol=1e-4, rtol=0)
    ours, theirs = gradients(policy), gradients(naive)
    assert ours.keys() == theirs.keys() == dict(naive.named_parameters()).keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-3 * gradient.norm(), name


def score(
    model_folder: Path, prompt: PromptInputs, completions: list[list[int]], forbidden: Sequence[int] = ()
) -> CompletionLogprobs:
    policy = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False)
    with torch.no_grad():
        [scored] = completion_logprobs(
            policy, pack_groups([(prompt, completions)]), temperature=TEMPERATURE, forbidden_token_ids=forbidden
        )
    return scored


def test_padding_holds_zeros(model_folder: Path, prompt: PromptInputs) -> None:
    scored = score(model_folder, prompt, [[3, 4, 5], [6]])
    assert scored.mask.tolist() == [[True, True, True], [True, False, False]]
    assert scored.logprobs[1, 1:].tolist() == scored.entropies[1, 1:].tolist() == [0.0, 0.0]
    assert (scored.logprobs[scored.mask] < 0).all()


def test_completions_do_not_see_each_other(model_folder: Path, prompt: PromptInputs) -> None:
    first = score(model_folder, prompt, [[3, 4, 5], [6, 7, 8]])
    second = score(model_folder, prompt, [[3, 4, 5], [90, 91, 92, 93]])
    torch.testing.assert_close(first.logprobs[0], second.logprobs[0, :3], atol=1e-5, rtol=0)


def test_a_forbidden_token_scores_minus_infinity_and_frees_its_probability(
    model_folder: Path, prompt: PromptInputs
) -> None:
    free = score(model_folder, prompt, [[3, 4]])
    barred = score(model_folder, prompt, [[3, 4]], forbidden=(4,))
    assert barred.logprobs[0, 1] == -math.inf
    assert barred.logprobs[0, 0] > free.logprobs[0, 0]
    assert barred.entropies.isfinite().all()


def test_logprobs_and_entropies_by_hand() -> None:
    logits = torch.tensor([[math.log(1.0), math.log(2.0), math.log(4.0), 50.0]])
    head = ScoringHead(4, 4, bias=False)
    torch.nn.init.eye_(head.weight)
    logprobs, entropies = head(logits, torch.tensor([2]), temperature=0.5, forbidden_token_ids=(3,))
    probabilities = [1 / 21, 4 / 21, 16 / 21]
    assert logprobs.item() == pytest.approx(math.log(16 / 21), rel=1e-6)
    assert entropies.item() == pytest.approx(-sum(p * math.log(p) for p in probabilities), rel=1e-6)


def test_a_call_without_a_packed_layout_is_ordinary_attention(model_folder: Path, prompt: PromptInputs) -> None:
    policy = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False)
    plain = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, attn_implementation="sdpa")
    input_ids = torch.tensor([[0, 0, 3, 4, 5], [6, 7, 8, 9, 10]])
    attention_mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        ours, theirs = (m(input_ids=input_ids, attention_mask=attention_mask).logits for m in (policy, plain))
    assert torch.equal(ours, theirs)
