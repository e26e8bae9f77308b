from __future__ import annotations

import pytest
from transformers import Qwen2Tokenizer

from museg.tiny_model.tokenizer import SPECIAL_TOKENS, build_tokenizer
from museg.tiny_model.wording import INSTRUCTIONS, answer_text, second_token


@pytest.fixture(scope="module")
def tokenizer() -> Qwen2Tokenizer:
    return build_tokenizer()


@pytest.mark.parametrize(
    "segments",
    [[(7.0, 12.0)], [(0.0, 1.0)], [(2.0, 5.0), (9.0, 12.0)], [(1.0, 3.0), (4.0, 22.0), (23.0, 63.0)], [(2.5, 117.25)]],
)
def test_an_answer_comes_back_from_its_tokens_unchanged(
    tokenizer: Qwen2Tokenizer, segments: list[tuple[float, float]]
) -> None:
    text = answer_text(segments)
    ids = tokenizer.encode(text + "<|im_end|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_any_text_comes_back_from_its_bytes(tokenizer: Qwen2Tokenizer) -> None:
    text = "Où est-ce que 自転車 passe? 100.0 17.05\n\tdone  "
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_answer_is_short_and_its_numbers_are_one_token_each(tokenizer: Qwen2Tokenizer) -> None:
    pieces = [tokenizer.decode([token]) for token in tokenizer.encode(answer_text([(7.0, 12.0)]))]
    assert pieces == [
        *("<think>", "The", " event", " happens", " from", " ", "7.0", " to", " ", "12.0", ".", "</think>"),
        *("<answer>", "7.0", "-", "12.0", "</answer>"),
    ]


def test_every_second_is_one_token_that_is_not_special(tokenizer: Qwen2Tokenizer) -> None:
    ids = [tokenizer.encode(second_token(second)) for second in range(64)]
    assert all(len(one) == 1 for one in ids)
    assert not {one[0] for one in ids} & set(tokenizer.all_special_ids)


def test_each_of_the_authors_sentences_is_one_token(tokenizer: Qwen2Tokenizer) -> None:
    assert len(tokenizer.encode("".join(INSTRUCTIONS))) == len(INSTRUCTIONS)


def test_all_special_tokens_of_qwen_are_there(tokenizer: Qwen2Tokenizer) -> None:
    assert set(SPECIAL_TOKENS) <= set(tokenizer.all_special_tokens)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_chat_template_puts_the_video_where_the_turn_has_it(tokenizer: Qwen2Tokenizer) -> None:
    turn = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "When?"}]}]
    assert tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
