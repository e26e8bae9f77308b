"""Questions in the authors' words, and the chat turn that shows the video and asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from museg.config.choices import Template
from museg.data.samples import Sample
from museg.data.texts import refuse_special_tokens

_REASONING = "First, output reasoning process in <think> </think> tags. "
_TIMESTAMPS = (
    "The reasoning process must REFER TO SPECIFIC TIMESTAMPS TO TELL WHERE YOU GET THE INFORMATION FROM THE VIDEO. "
)
_ANSWER = (
    "Then summarize your reasoning process above and output selected segments like "
    '"<answer>X.XX-X.XX</answer>", where "X" denotes arabic numbers. If there are multiple segments, separate them '
    'with spaces like "<answer>X.XX-X.XX X.XX-X.XX</answer>". '
    'Your output format should be like "<think>...</think><answer>...</answer>".'
)

QUESTION_TEMPLATES: Mapping[Template, str] = {
    Template.timestamps: "{} " + _REASONING + _TIMESTAMPS + _ANSWER,
    Template.plain: "{} " + _REASONING + _ANSWER,
}
"""The authors' templates word for word (src/train.py, QUESTION_TEMPLATES); `{}` takes the problem."""

ET_BENCH_TEMPLATE = (
    "{} "
    + _REASONING
    + _TIMESTAMPS
    + "Then summarize your reasoning process above and output your answer within <answer> </answer> tags. "
    "Make sure to follow the format requirements. "
    'Your output format should be like "<think>...</think><answer>...</answer>".'
)
"""The authors' template for E.T. Bench word for word (src/eval_et_bench.py, TEMPLATE); `{}` takes the question."""


class ChatTemplated(Protocol):
    """A Hugging Face tokenizer or processor that carries a chat template."""

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, object]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
    ) -> str: ...


def question(sample: Sample, template: Template) -> str:
    """The sample's problem followed by the instructions on how to answer it.

    Raises DataError, naming the row, if the problem holds a special token (see `chat_prompt`).
    """
    refuse_special_tokens(sample.problem, where=f"sample {sample.idx}: `problem`")
    return QUESTION_TEMPLATES[template].format(sample.problem)


def et_bench_question(q: str) -> str:
    """A question of E.T. Bench (its field `q`) followed by the instructions on how to answer it.

    Raises DataError if the question holds a special token (see `chat_prompt`).
    """
    refuse_special_tokens(q, where="question")
    return ET_BENCH_TEMPLATE.format(q)


def chat_prompt(processor_or_tokenizer: ChatTemplated, question: str) -> str:
    """The model's own chat format: one user turn, the video before the text, then the opening of the answer.

    Qwen2.5-VL's template adds the default system prompt and one `<|vision_start|><|video_pad|><|vision_end|>`.
    A question that holds a special token such as `<|video_pad|>` or `<|im_end|>` is refused (DataError) rather than
    escaped: the tokenizer would read it as a placeholder or as the end of the turn, and any escaped spelling would be
    another question than the one that was annotated.
    """
    refuse_special_tokens(question, where="question")
    turn = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}
    return processor_or_tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
