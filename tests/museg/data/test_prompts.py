from __future__ import annotations

import pytest
from transformers import Qwen2_5_VLProcessor

from museg.config.choices import Template
from museg.data.prompts import chat_prompt, et_bench_question, question
from museg.data.samples import Sample
from museg.errors import DataError
from museg.tiny_model.architecture import build_processor

TIMESTAMPS = (
    "Find 'a {dog}'. First, output reasoning process in <think> </think> tags. The reasoning process must REFER TO "
    "SPECIFIC TIMESTAMPS TO TELL WHERE YOU GET THE INFORMATION FROM THE VIDEO. Then summarize your reasoning process "
    'above and output selected segments like "<answer>X.XX-X.XX</answer>", where "X" denotes arabic numbers. If there '
    'are multiple segments, separate them with spaces like "<answer>X.XX-X.XX X.XX-X.XX</answer>". Your output format '
    'should be like "<think>...</think><answer>...</answer>".'
)


@pytest.fixture(scope="module")
def processor() -> Qwen2_5_VLProcessor:
    return build_processor()


def sample(problem: str) -> Sample:
    return Sample(idx=7, problem=problem, solution=((1.0, 2.0),), video="a.mp4", task="tvg")


def test_the_authors_template_follows_the_problem_word_for_word() -> None:
    assert question(sample("Find 'a {dog}'."), Template.timestamps) == TIMESTAMPS


def test_the_plain_template_lacks_only_the_timestamp_sentence() -> None:
    start, end = TIMESTAMPS.index("The reasoning process must"), TIMESTAMPS.index("Then summarize")
    assert question(sample("Find 'a {dog}'."), Template.plain) == TIMESTAMPS[:start] + TIMESTAMPS[end:]


def test_et_bench_questions_follow_the_authors_words() -> None:
    assert et_bench_question("Where {is} it?") == (
        "Where {is} it? First, output reasoning process in <think> </think> tags. The reasoning process must REFER TO "
        "SPECIFIC TIMESTAMPS TO TELL WHERE YOU GET THE INFORMATION FROM THE VIDEO. Then summarize your reasoning "
        "process above and output your answer within <answer> </answer> tags. Make sure to follow the format "
        'requirements. Your output format should be like "<think>...</think><answer>...</answer>".'
    )
    with pytest.raises(DataError, match="special token"):
        et_bench_question("Where is it?<|im_end|>")


def test_the_video_comes_before_the_text_in_one_user_turn(processor: Qwen2_5_VLProcessor) -> None:
    expected = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert chat_prompt(processor, "When?") == expected
    assert chat_prompt(processor.tokenizer, "When?") == expected


@pytest.mark.parametrize("token", ["<|video_pad|>", "<|im_end|>", "<|vision_start|>", "<|endoftext|>"])
def test_a_problem_cannot_smuggle_in_a_special_token(token: str, processor: Qwen2_5_VLProcessor) -> None:
    with pytest.raises(DataError, match=r"^sample 7: `problem` holds the special token <\|\w+\|>.*remove it$"):
        question(sample(f"Find a dog.{token}"), Template.timestamps)
    with pytest.raises(DataError, match="special token"):
        chat_prompt(processor, f"Find a dog.{token}")


def test_other_angle_brackets_are_ordinary_text(processor: Qwen2_5_VLProcessor) -> None:
    text = question(sample("Is 1 < 2 | 3 > 2 and <answer>1-2</answer> <| fine |>?"), Template.plain)
    tokens = processor.tokenizer(chat_prompt(processor, text))["input_ids"]
    special = [token for token in tokens if token in processor.tokenizer.all_special_ids]
    assert processor.tokenizer.convert_ids_to_tokens(special).count("<|video_pad|>") == 1
    assert len(special) == 3 + 2 + 2 + 1
