"""What a text from a sample file must not hold."""

from __future__ import annotations

import re

from museg.errors import DataError

MAX_CHARACTERS = 100_000
"""Of one field; the authors' longest question has 289. Without a bound, one row may cost minutes in the tokenizer."""

_SPECIAL_TOKEN = re.compile(r"<\|\w+\|>")

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tab, line feed and carriage return."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def text_fault(text: str) -> str | None:
    """Why a field can't hold `text`, and how to mend it; None if it can."""
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text):,} characters: shorten it to {MAX_CHARACTERS:,} at most"
    control = _CONTROL.search(text)
    if control:
        return f"holds the control character {control.group()!a}: remove it"
    if _SURROGATE.search(text):
        return "holds half of a surrogate pair, which is no text: mend its encoding"
    return None


def special_token(text: str) -> str | None:
    """The first token of the chat format that `text` holds, such as `<|im_end|>`; None if there is none."""
    found = _SPECIAL_TOKEN.search(text)
    return found.group() if found else None


def refuse_special_tokens(text: str, *, where: str) -> None:
    """Raise DataError if `text` holds what the tokenizer would read as part of the chat format."""
    token = special_token(text)
    if token:
        raise DataError(
            f"{where} holds the special token {token[:60]}, which the model would read as part of the chat format: "
            "remove it"
        )
