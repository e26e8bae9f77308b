from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from museg.policy.attention import packed_group_attention
from museg.policy.block_sparse import block_sparse_attention, packed_block_mask
from museg.policy.inputs import PromptEncoder, PromptInputs
from museg.policy.packing import pack_groups
from tests.museg.policy.material import PROMPT, make_clip


@pytest.fixture(scope="module")
def prompt(encoder: PromptEncoder) -> PromptInputs:
    return encoder.encode(PROMPT, make_clip())


@pytest.fixture(scope="module")
def other(encoder: PromptEncoder) -> PromptInputs:
    return encoder.encode(PROMPT, make_clip(num_frames=4))


def test_completions_lie_behind_their_prompt_each_from_its_next_position(
    prompt: PromptInputs, other: PromptInputs
) -> None:
    packed = pack_groups([(prompt, [[11, 12, 13], [14]]), (other, [[15, 16]])])
    first, second = prompt.next_position, other.next_position
    ids = [*prompt.input_ids.tolist(), 11, 12, 13, 14, *other.input_ids.tolist(), 15, 16]
    assert packed.input_ids[0].tolist() == ids
    own = torch.tensor([first, first + 1, first + 2, first]).expand(3, -1)
    own_of_other = torch.tensor([second, second + 1]).expand(3, -1)
    expected = torch.cat([prompt.positions, own, other.positions, own_of_other], dim=1)
    assert torch.equal(packed.positions[:, 0], expected)
    assert [mask.tolist() for mask in packed.masks] == [[[True, True, True], [True, False, False]], [[True, True]]]


def test_every_first_token_is_predicted_by_the_last_token_of_its_prompt(
    prompt: PromptInputs, other: PromptInputs
) -> None:
    packed = pack_groups([(prompt, [[11, 12, 13], [14]]), (other, [[15, 16]])])
    last = prompt.num_tokens - 1
    last_of_other = prompt.num_tokens + 4 + other.num_tokens - 1
    assert packed.targets.tolist() == [11, 12, 13, 14, 15, 16]
    assert packed.predicting.tolist() == [last, last + 1, last + 2, last, last_of_other, last_of_other + 1]


def test_a_video_that_several_prompts_show_is_in_the_pack_once(
    encoder: PromptEncoder, prompt: PromptInputs, other: PromptInputs
) -> None:
    again = encoder.encode("<|im_start|>Again: " + PROMPT, make_clip())
    packed = pack_groups([(prompt, [[1]]), (other, [[2]]), (again, [[3]])])
    assert packed.videos == (0, 1, 0)
    assert torch.equal(packed.pixel_values, torch.cat([prompt.pixel_values, other.pixel_values]))


def test_a_video_of_the_same_name_and_other_frames_is_another_video(prompt: PromptInputs) -> None:
    flipped = replace(prompt, pixel_values=-prompt.pixel_values)
    assert pack_groups([(prompt, [[1]]), (flipped, [[1]])]).videos == (0, 1)


def test_on_cuda_the_blocks_that_see_each_other_are_those_that_the_layout_says(
    prompt: PromptInputs, other: PromptInputs
) -> None:
    layout = pack_groups([(prompt, [[11, 12, 13], [14]]), (other, [[15, 16]])]).layout
    length, heads, dim = len(layout.group), 4, 32
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, heads, length, dim, generator=generator)
    key, value = torch.randn(2, 1, 2, length, dim, generator=generator)
    mask = packed_block_mask(layout.group, layout.piece, compiled=False)
    block_sparse = block_sparse_attention(query, key, value, mask, scaling=0.2)
    merged, _ = packed_group_attention(torch.nn.Module(), query, key, value, None, scaling=0.2, packed_layout=layout)
    torch.testing.assert_close(block_sparse, merged, atol=1e-6, rtol=0)


@pytest.mark.parametrize("completions", [[], [[11], []]])
def test_an_empty_group_or_completion_is_refused(prompt: PromptInputs, completions: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one token each"):
        pack_groups([(prompt, completions)])


def test_a_pack_of_clips_and_embedded_videos_is_refused(prompt: PromptInputs) -> None:
    embedded = replace(prompt, embeddings=torch.zeros(24, 128), pixel_values=prompt.pixel_values[:0])
    with pytest.raises(ValueError, match="not both"):
        pack_groups([(prompt, [[1]]), (embedded, [[1]])])
