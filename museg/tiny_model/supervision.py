"""The warm start's loss: the answer's tokens, and a dense second signal without which the model stays blind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration

from museg.config.choices import Template
from museg.data.prompts import QUESTION_TEMPLATES, chat_prompt
from museg.errors import ModelError
from museg.policy.inputs import VIDEO_PLACEHOLDER, PromptEncoder, PromptInputs
from museg.synthesis.questions import DESCRIPTIONS
from museg.tiny_model.lessons import Lesson
from museg.tiny_model.wording import MAX_SECOND, answer_text, second_token

READING_LAYER = 2
"""Number of layers after which what is shown must be known; heads of the next layer then look it up."""

LOOKING_HEAD, COPYING_HEAD = 0, 1
"""Heads of that layer that are taught where a number of the reasoning is seen, and where one of the answer was said."""

EPSILON = 1e-6
"""Keeps the logarithm of an attention weight finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A lesson as tokens. T prompt tokens, C answer tokens, S seconds of video, N numbers that the answer cites."""

    prompt: PromptInputs
    answer_ids: tuple[int, ...]
    """`[C]`, the stop token included."""
    video_start: int
    """Index of the first visual token in the prompt."""
    contents: tuple[int, ...]
    """`[S]`, number of the content that each second shows."""
    asked: int
    """Number of the content asked for."""
    looks: tuple[tuple[int, int], ...]
    """`[N]`, for each number of the reasoning the token that predicts it and the visual token where it is seen: the
    first of the event, or the first after it (after an event that lasts to the end, the token after the video)."""
    copies: tuple[tuple[int, int], ...]
    """`[N]`, for each number of the answer the token that predicts it and the same number in the reasoning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Means over a batch, in nats."""

    answer: torch.Tensor
    """Of the answer's tokens."""
    seeing: torch.Tensor
    """Of naming each second, its content and whether it begins a shot, at its visual token."""
    looking: torch.Tensor
    """Where a number comes next: of naming the content asked for, and of attending to where the number is found."""

    @property
    def total(self) -> torch.Tensor:
        return self.answer + self.seeing + self.looking

    def as_floats(self) -> dict[str, float]:
        return {"answer": self.answer.item(), "seeing": self.seeing.item(), "looking": self.looking.item()}


class Teacher:
    """Turns lessons into exercises and a model's outputs on them into losses."""

    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder
        tokenizer = encoder.tokenizer
        self._seconds = _single_tokens(tokenizer, [second_token(second) for second in range(MAX_SECOND + 1)])
        self._contents = _single_tokens(tokenizer, [f" {content}" for content in DESCRIPTIONS])
        self._flags = _single_tokens(tokenizer, [" no", " yes"])
        self._video_token_id: int = tokenizer.convert_tokens_to_ids(VIDEO_PLACEHOLDER)

    def exercise(self, lesson: Lesson) -> Exercise:
        """Tokenise a lesson: the training prompt of its problem, and the answer that cites its segments."""
        tokenizer = self._encoder.tokenizer
        text = QUESTION_TEMPLATES[Template.timestamps].format(lesson.problem)
        prompt = self._encoder.encode(chat_prompt(tokenizer, text), lesson.clip)
        answer = tokenizer.encode(answer_text(lesson.segments) + tokenizer.eos_token)
        numbers = [prompt.num_tokens + index for index, token in enumerate(answer) if token in self._seconds]
        reasoned, concluded = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
        video_start = int((prompt.input_ids == self._video_token_id).nonzero()[0])
        seen = [video_start + int(time) for segment in lesson.segments for time in segment]
        names = list(DESCRIPTIONS)
        return Exercise(
            prompt=prompt,
            answer_ids=tuple(answer),
            video_start=video_start,
            contents=tuple(names.index(content) for content in lesson.seconds),
            asked=names.index(lesson.seconds[int(lesson.segments[0][0])]),
            looks=tuple((index - 1, place) for index, place in zip(reasoned, seen, strict=True)),
            copies=tuple((index - 1, place) for index, place in zip(concluded, reasoned, strict=True)),
        )

    def losses(self, model: Qwen2_5_VLForConditionalGeneration, batch: Sequence[Exercise]) -> Losses:
        """Run the model on a batch of exercises, padded on the right, at the engine's positions.

        The model's text attention must be `eager`: its weights are part of the loss.
        """
        input_ids, positions = _padded(batch, model.config.text_config.pad_token_id)
        seen = model.model.get_video_features(
            torch.cat([exercise.prompt.pixel_values for exercise in batch]),
            torch.cat([exercise.prompt.grid_thw for exercise in batch]),
        )
        is_visual = (input_ids == self._video_token_id).unsqueeze(2)
        embedded = model.get_input_embeddings()(input_ids).masked_scatter(is_visual, torch.cat(seen.pooler_output))
        outputs = model.model.language_model(
            inputs_embeds=embedded,
            position_ids=positions,
            use_cache=False,
            output_hidden_states=True,
            output_attentions=True,
        )
        early = model.model.language_model.norm(outputs.hidden_states[READING_LAYER])
        return Losses(
            answer=self._answer_loss(model.lm_head, outputs.last_hidden_state, batch),
            seeing=self._seeing_loss(model.lm_head, early, batch),
            looking=self._looking_loss(model.lm_head, early, outputs.attentions[READING_LAYER], batch),
        )

    def _answer_loss(self, head: torch.nn.Module, hidden: torch.Tensor, batch: Sequence[Exercise]) -> torch.Tensor:
        rows: list[int] = []
        columns: list[int] = []
        targets: list[int] = []
        for row, exercise in enumerate(batch):
            first = exercise.prompt.num_tokens - 1
            rows += [row] * len(exercise.answer_ids)
            columns += range(first, first + len(exercise.answer_ids))
            targets += exercise.answer_ids
        return cross_entropy(head(hidden[rows, columns]), torch.tensor(targets))

    def _seeing_loss(self, head: torch.nn.Module, early: torch.Tensor, batch: Sequence[Exercise]) -> torch.Tensor:
        rows: list[int] = []
        columns: list[int] = []
        seconds: list[int] = []
        contents: list[int] = []
        begins: list[int] = []
        for row, exercise in enumerate(batch):
            num_seconds = len(exercise.contents)
            rows += [row] * num_seconds
            columns += range(exercise.video_start, exercise.video_start + num_seconds)
            seconds += range(num_seconds)
            contents += exercise.contents
            pairs = zip(exercise.contents, exercise.contents[1:], strict=False)
            begins += [1, *(int(before != now) for before, now in pairs)]
        logits = head(early[rows, columns])
        return (
            cross_entropy(logits[:, self._seconds], torch.tensor(seconds))
            + cross_entropy(logits[:, self._contents], torch.tensor(contents))
            + cross_entropy(logits[:, self._flags], torch.tensor(begins))
        )

    def _looking_loss(
        self, head: torch.nn.Module, early: torch.Tensor, weights: torch.Tensor, batch: Sequence[Exercise]
    ) -> torch.Tensor:
        rows = [row for row, exercise in enumerate(batch) for _ in exercise.looks]
        looking, seen = zip(*(pair for exercise in batch for pair in exercise.looks), strict=True)
        copying, copied = zip(*(pair for exercise in batch for pair in exercise.copies), strict=True)
        asked = torch.tensor([batch[row].asked for row in rows])
        naming = cross_entropy(head(early[rows, looking])[:, self._contents], asked)
        attended = weights[rows, LOOKING_HEAD, looking, seen], weights[rows, COPYING_HEAD, copying, copied]
        return naming - sum(torch.log(weight + EPSILON).mean() for weight in attended)


def _padded(batch: Sequence[Exercise], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids `[B, L]` and positions `[3, B, L]` of prompts and answers, padded on the right to L.

    An answer goes on from its prompt's `next_position` on all three axes.
    """
    sequences, positions = [], []
    for exercise in batch:
        prompt, answer = exercise.prompt, torch.tensor(exercise.answer_ids)
        own = torch.arange(prompt.next_position, prompt.next_position + len(answer)).expand(3, -1)
        sequences.append(torch.cat([prompt.input_ids, answer]))
        positions.append(torch.cat([prompt.positions, own], dim=1).T)
    return (
        pad_sequence(sequences, batch_first=True, padding_value=pad_token_id),
        pad_sequence(positions, batch_first=True).permute(2, 0, 1),
    )


def _single_tokens(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[int]:
    """Ids of words that the vocabulary holds whole. Raises ModelError for one that it doesn't."""
    encoded = [tokenizer.encode(word) for word in words]
    for word, ids in zip(words, encoded, strict=True):
        if len(ids) != 1:
            raise ModelError(f"the tokenizer splits {word!r} into {len(ids)} tokens: add it to the training corpus")
    return [ids[0] for ids in encoded]
