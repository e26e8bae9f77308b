from __future__ import annotations

import pytest
import torch

from museg.policy.inputs import PromptEncoder, PromptInputs
from museg.policy.packing import pack_groups
from tests.museg.policy.material import PROMPT, make_clip


@pytest.fixture(scope="module")
def prompt(encoder: PromptEncoder) -> PromptInputs:
    return encoder.encode(PROMPT, make_clip())


def test_completions_lie_behind_the_prompt_each_from_its_next_position(prompt: PromptInputs) -> None:
    [packed] = pack_groups([(prompt, [[11, 12, 13], [14], [15, 16]])]).groups
    num_prompt, first = prompt.num_tokens, prompt.next_position
    assert packed.input_ids[0].tolist() == [*prompt.input_ids.tolist(), 11, 12, 13, 14, 15, 16]
    assert torch.equal(packed.positions[:, 0, :num_prompt], prompt.positions)
    assert packed.positions[:, 0, num_prompt:].tolist() == [[first, first + 1, first + 2, first, first, first + 1]] * 3
    assert packed.mask.tolist() == [[True, True, True], [True, False, False], [True, True, False]]


def test_every_first_token_is_predicted_by_the_last_prompt_token(prompt: PromptInputs) -> None:
    [packed] = pack_groups([(prompt, [[11, 12, 13], [14], [15, 16]])]).groups
    last = prompt.num_tokens - 1
    assert packed.targets.tolist() == [11, 12, 13, 14, 15, 16]
    assert packed.predicting.tolist() == [last, last + 1, last + 2, last, last, last + 5]


def test_a_completion_token_sees_the_whole_prompt_and_its_past(prompt: PromptInputs) -> None:
    visible = pack_groups([(prompt, [[11, 12, 13], [14]])]).groups[0].layout.visible
    assert visible[:, : prompt.num_tokens].all()
    assert visible[:, prompt.num_tokens :].tolist() == [[True, False, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize("completions", [[], [[11], []]])
def test_an_empty_group_or_completion_is_refused(prompt: PromptInputs, completions: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one token each"):
        pack_groups([(prompt, completions)])
