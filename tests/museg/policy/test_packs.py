"""Packs of several groups against the naive way: every completion alone behind its prompt, in transformers' model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.policy import scoring
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.model import PackedPolicy
from museg.policy.packing import PackedGroups, PromptGroup, pack_groups
from museg.policy.vision import VisionTower
from museg.tiny_model.architecture import build_processor, model_config, save_model
from museg.video.clip import VideoClip
from tests.museg.policy.material import PROMPT, make_clip
from tests.museg.policy.test_logprobs import TEMPERATURE, gradients, naive_logprobs, weighted_sum

OTHER_PROMPT = PROMPT.replace("When does it happen?", "And what happens then, at the very end of it?")
SHOWN = ((PROMPT, (12, 84, 140)), (OTHER_PROMPT, (4, 56, 84)), (OTHER_PROMPT, (12, 84, 140)))
"""Prompts and the frames, height and width of their videos; the third shows the first's."""
LENGTHS = ((5, 1, 9), (2,), (7, 7, 3, 12))


@pytest.fixture(scope="module", params=["untied", "tied"])
def folder(request: pytest.FixtureRequest, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sharp model, and one whose head is its embeddings, as in the 3B model."""
    if request.param == "untied":
        return model_folder
    path, processor = tmp_path_factory.mktemp("tied"), build_processor()
    config = model_config(processor.tokenizer)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(Qwen2_5_VLForConditionalGeneration(config), processor, path)
    return path


def clips() -> list[VideoClip]:
    return [make_clip(num_frames, height=height, width=width) for _, (num_frames, height, width) in SHOWN]


def groups_of(encoder: PromptEncoder, tower: VisionTower | None = None) -> list[PromptGroup]:
    generator = torch.Generator().manual_seed(0)
    shown = clips() if tower is None else [tower.embed(clip) for clip in clips()]
    return [
        (
            encoder.encode(prompt, clip),
            [torch.randint(1, 600, (length,), generator=generator).tolist() for length in lengths],
        )
        for (prompt, _), clip, lengths in zip(SHOWN, shown, LENGTHS, strict=True)
    ]


def alone(
    model: Qwen2_5_VLForConditionalGeneration, groups: Sequence[PromptGroup], forbidden: Sequence[int]
) -> list[torch.Tensor]:
    """Of every completion of all groups, by itself."""
    return [
        naive_logprobs(model, prompt, list(completion), forbidden)
        for prompt, completions in groups
        for completion in completions
    ]


def packed_logprobs(policy: PackedPolicy, packed: PackedGroups, forbidden: Sequence[int]) -> list[torch.Tensor]:
    """Of every completion of all groups, from one pack."""
    scored = completion_logprobs(policy, packed, temperature=TEMPERATURE, forbidden_token_ids=forbidden)
    return [row[mask] for group in scored for row, mask in zip(group.logprobs, group.mask, strict=True)]


@pytest.mark.parametrize("chunk_rows", [5, 512], ids=["chunks", "one chunk"])
@pytest.mark.parametrize("gradient_checkpointing", [False, True], ids=["stored", "checkpointed"])
def test_a_pack_of_groups_scores_and_learns_like_its_completions_alone(
    folder: Path,
    encoder: PromptEncoder,
    monkeypatch: pytest.MonkeyPatch,
    gradient_checkpointing: bool,
    chunk_rows: int,
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_ROWS", chunk_rows)
    groups, forbidden = groups_of(encoder), vision_token_ids(encoder.tokenizer)
    naive = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, attn_implementation="sdpa")
    expected = alone(naive, groups, forbidden)
    weighted_sum(expected).backward()

    policy = load_policy(folder, dtype=torch.float32, gradient_checkpointing=gradient_checkpointing)
    scored = packed_logprobs(policy, pack_groups(groups), forbidden)
    weighted_sum(scored).backward()

    for ours, theirs in zip(scored, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    ours, theirs = gradients(policy), gradients(naive)
    assert ours.keys() == theirs.keys() == dict(naive.named_parameters()).keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_a_frozen_tower_leaves_logprobs_and_the_language_models_gradients_as_they_were(
    model_folder: Path, encoder: PromptEncoder
) -> None:
    forbidden = vision_token_ids(encoder.tokenizer)
    whole = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False)
    frozen = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=True, freeze_vision=True)
    assert frozen.frozen_tower is not None
    expected = packed_logprobs(whole, pack_groups(groups_of(encoder)), forbidden)
    weighted_sum(expected).backward()
    packed = pack_groups(groups_of(encoder, frozen.frozen_tower))
    scored = packed_logprobs(frozen, packed, forbidden)
    weighted_sum(scored).backward()

    assert packed.pixel_values.shape[0] == 0
    torch.testing.assert_close(torch.cat(scored), torch.cat(expected), atol=1e-5, rtol=0)
    of_tower = {name for name, _ in frozen.frozen_tower.named_parameters()}
    ours, theirs = gradients(frozen), gradients(whole)
    assert ours.keys() == dict(frozen.named_parameters()).keys() == theirs.keys() - of_tower
    for name, gradient in ours.items():
        assert (gradient - theirs[name]).norm() <= 1e-4 * theirs[name].norm(), name


def test_policy_and_frozen_tower_together_are_the_whole_model(model_folder: Path) -> None:
    whole = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder)
    frozen = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False, freeze_vision=True)
    assert frozen.frozen_tower is not None
    together = dict(frozen.named_parameters()) | dict(frozen.frozen_tower.named_parameters())
    assert together.keys() == dict(whole.named_parameters()).keys()
    assert all(torch.equal(together[name], value) for name, value in whole.named_parameters())
    assert not any(value.requires_grad for _, value in frozen.frozen_tower.named_parameters())


def test_the_tower_sees_every_video_of_a_pack_once(model_folder: Path, encoder: PromptEncoder) -> None:
    policy = load_policy(model_folder, dtype=torch.float32, gradient_checkpointing=False)
    groups, seen = groups_of(encoder), []
    policy.model.visual.register_forward_hook(
        lambda tower, args, kwargs, out: seen.append(len(args[0])), with_kwargs=True
    )
    packed_logprobs(policy, pack_groups(groups), ())
    first, second, _ = (prompt.pixel_values.shape[0] for prompt, _ in groups)
    assert seen == [first + second]


def test_bfloat16_packs_are_no_further_from_float32_than_bfloat16_completions_alone(
    model_folder: Path, encoder: PromptEncoder
) -> None:
    groups = groups_of(encoder)
    exact = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype=torch.bfloat16)
    naive = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype=torch.bfloat16)
    policy = load_policy(model_folder, dtype=torch.bfloat16, gradient_checkpointing=True)
    with torch.no_grad():
        expected = torch.cat(alone(exact.float(), groups, ()))
        theirs = torch.cat([logprobs.float() for logprobs in alone(naive, groups, ())])
    ours = torch.cat(packed_logprobs(policy, pack_groups(groups), ()))
    ours.sum().backward()
    assert (ours - expected).abs().mean() <= 1.5 * (theirs - expected).abs().mean() + 1e-3
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients(policy).values())


def test_an_embedded_video_is_the_same_prompt(model_folder: Path, encoder: PromptEncoder) -> None:
    policy = load_policy(model_folder, dtype=torch.bfloat16, gradient_checkpointing=False, freeze_vision=True)
    assert policy.frozen_tower is not None
    clip = make_clip()
    embedded = policy.frozen_tower.embed(clip)
    seen, shown = encoder.encode(PROMPT, embedded), encoder.encode(PROMPT, clip)
    assert embedded.embeddings.dtype is torch.bfloat16
    assert seen.embeddings is not None
    assert seen.embeddings.shape[0] == (shown.input_ids == policy.config.video_token_id).sum()
    assert torch.equal(seen.input_ids, shown.input_ids)
    assert torch.equal(seen.positions, shown.positions)
    assert (seen.video, seen.next_position) == (shown.video, shown.next_position)
