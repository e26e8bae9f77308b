from __future__ import annotations

from museg.data.samples import Sample
from museg.sft.demonstrations import demonstration_of
from museg.tiny_model.tokenizer import build_tokenizer


def test_the_target_ends_with_the_stop_token_and_nothing_else_of_the_annotation_is_shown() -> None:
    tokenizer = build_tokenizer()
    sample = Sample(idx=3, problem="When?", solution=((1.0, 2.0),), video="a.mp4", task="tvg", response="At 1.0")
    demonstration = demonstration_of(sample, "the prompt", tokenizer)
    assert tokenizer.decode(demonstration.target_ids) == "At 1.0<|im_end|>"
    assert demonstration.target_ids[-1] == tokenizer.eos_token_id
    assert (demonstration.idx, demonstration.video, demonstration.prompt) == (3, "a.mp4", "the prompt")
