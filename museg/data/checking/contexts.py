"""Prompts that a configuration's context can't hold, known before a run meets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from museg.config.schema import Config
from museg.data.checking.annotations import Annotation
from museg.data.checking.anomalies import Anomaly, Kind
from museg.data.prompts import QUESTION_TEMPLATES, chat_prompt
from museg.errors import DataError
from museg.policy.loading import check_model_folder
from museg.video.pixel_budget import FrameBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What training would make of a row, by a configuration."""

    config: Config
    budget: FrameBudget
    """Of the videos."""
    processor: Any
    """The model's, with its tokenizer and chat format."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """Raises ModelError if `model.path` is no model folder."""
        from transformers import Qwen2_5_VLProcessor

        check_model_folder(Path(config.model.path))
        processor = Qwen2_5_VLProcessor.from_pretrained(config.model.path)
        return cls(config=config, budget=FrameBudget.from_config(config.video, evaluation=False), processor=processor)

    def anomalies(self, annotation: Annotation, num_visual_tokens: int | None) -> Iterator[Anomaly]:
        """Tells of a row whose prompt leaves no room for an answer: a run would end at it."""
        if annotation.problem is None or num_visual_tokens is None:
            return
        # A problem with tokens of the chat format is an anomaly of its own.
        with suppress(DataError):
            question = QUESTION_TEMPLATES[self.config.data.template].format(annotation.problem)
            text = self.processor.tokenizer(chat_prompt(self.processor, question))["input_ids"]
            num_tokens, limit = len(text) - 1 + num_visual_tokens, self.config.generation.max_model_len
            if num_tokens >= limit:
                yield annotation.anomaly(
                    Kind.too_long_prompt,
                    f"the prompt has {num_tokens} tokens, {num_visual_tokens} of them the video's, and "
                    f"generation.max_model_len is {limit}",
                )
