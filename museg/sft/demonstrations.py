"""Demonstrations: prompts together with the completions that a supervised run teaches."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from museg.data.samples import Sample
from museg.data.targets import target_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """All that the learner is shown of a sample, its clip apart."""

    idx: int
    """Of the sample."""
    video: str
    prompt: str
    """Chat-formatted text with one `<|video_pad|>` placeholder."""
    target_ids: tuple[int, ...]
    """Tokens to be learned, the stop token included."""


def demonstration_of(sample: Sample, prompt: str, tokenizer: PreTrainedTokenizerBase) -> Demonstration:
    """The sample's question, as `prompt`, with its target. Raises DataError for a response with special tokens."""
    target_ids = tuple(tokenizer.encode(target_text(sample) + tokenizer.eos_token))
    return Demonstration(idx=sample.idx, video=sample.video, prompt=prompt, target_ids=target_ids)
