"""The tiny model's tokenizer: Qwen2's class and special tokens around a small byte-level BPE vocabulary."""

from __future__ import annotations

import json

from tokenizers import AddedToken, Tokenizer, trainers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from museg.tiny_model.wording import ANSWER_TAGS, INSTRUCTIONS, MAX_SECOND, second_token, training_corpus

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Qwen2.5-VL's, in its order."""

MERGED_VOCABULARY = 640
"""Bytes and merges; enough that each word of the corpus is one token."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Produces what Qwen2.5-VL's own chat template does (without its optional numbering of pictures)."""


def build_tokenizer() -> Qwen2Tokenizer:
    """Train the vocabulary; the same on every machine.

    Whole seconds (`7.0`), the answer's tags and the authors' fixed sentences are one token each: a number that is one
    token is learned much faster than its digits, and the instructions cost five positions instead of 130.
    """
    vocab, merges = _train_merges()
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIAL_TOKENS),
        clean_up_tokenization_spaces=False,
        model_max_length=32_768,
        chat_template=CHAT_TEMPLATE,
    )
    seconds = [second_token(second) for second in range(MAX_SECOND + 1)]
    whole = [*ANSWER_TAGS, *seconds, *INSTRUCTIONS]
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in whole])
    return tokenizer


def _train_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    qwen_splitting = Qwen2Tokenizer(unk_token=None).backend_tokenizer
    untrained = Tokenizer(BPE())
    untrained.normalizer = qwen_splitting.normalizer
    untrained.pre_tokenizer = qwen_splitting.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED_VOCABULARY,
        min_frequency=2,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    untrained.train_from_iterator(training_corpus(), trainer)
    model = json.loads(untrained.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
