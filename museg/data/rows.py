"""Checked access to the fields of one row of a sample file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from museg.data.texts import refuse_special_tokens, text_fault
from museg.errors import DataError

MAX_SECONDS = 1e9
"""Above any video's length; bounds integers too long for a float."""

MAX_INDEX = 2**63 - 1

MAX_SEGMENTS = 10_000
"""Of one answer; the authors' longest has 218."""

MAX_SHOWN = 60
"""Longest value quoted in a message, in characters."""

MAX_NAMES = 20
"""Fields listed in a message."""


@dataclass(frozen=True, slots=True)
class Row:
    """A JSON object and where it stands. Every getter raises DataError saying where, what and how to mend."""

    fields: Mapping[str, object]
    where: str

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.where}: {name!r} must be a text that isn't empty (got {short(value)})")
        fault = text_fault(value)
        if fault:
            raise DataError(f"{self.where}: {name!r} {fault}")
        return value

    def chat_text(self, name: str) -> str:
        """A text that the model reads: without special tokens, which could forge another turn or video."""
        text = self.text(name)
        refuse_special_tokens(text, where=f"{self.where}: {name!r}")
        return text

    def optional_chat_text(self, name: str) -> str | None:
        """A `chat_text`; None where the field is absent or null."""
        return None if self.fields.get(name) is None else self.chat_text(name)

    def index(self, name: str) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise DataError(f"{self.where}: {name!r} must be an integer (got {short(value)})")
        if abs(value) > MAX_INDEX:
            raise DataError(f"{self.where}: {name!r} must fit into 64 bits (got {short(value)})")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._get(name)
        if not isinstance(value, str) or value not in choices:
            raise DataError(f"{self.where}: {name!r} must be one of {', '.join(choices)} (got {short(value)})")
        return value

    def optional_seconds(self, name: str) -> float | None:
        """A length in seconds above 0; None where the field is absent or null."""
        value = self.fields.get(name)
        if value is None:
            return None
        seconds = self._seconds(name, value)
        if seconds == 0:
            raise DataError(f"{self.where}: {name!r} must be above 0: mend it, or leave it out if it is unknown")
        return seconds

    def pairs(self, name: str) -> tuple[tuple[float, float], ...]:
        """At least one `[start, end]` in seconds, in the order of the file and not necessarily start < end."""
        value = self._get(name)
        if not isinstance(value, list) or not value:
            raise DataError(f"{self.where}: {name!r} must be a list of [start, end], not empty (got {short(value)})")
        if len(value) > MAX_SEGMENTS:
            raise DataError(f"{self.where}: {name!r} holds {len(value):,} segments: the most is {MAX_SEGMENTS:,}")
        return tuple(self._pair(name, pair) for pair in value)

    def _pair(self, name: str, pair: object) -> tuple[float, float]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"{self.where}: {name!r} must be a list of [start, end] (it holds {short(pair)})")
        return self._seconds(name, pair[0]), self._seconds(name, pair[1])

    def _seconds(self, name: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
            raise DataError(f"{self.where}: {name!r} must be finite seconds of at least 0 (got {short(value)})")
        return float(value)

    def _get(self, name: str) -> object:
        if name not in self.fields:
            raise DataError(
                f"{self.where}: field {name!r} is missing: add it (found: {field_names(self.fields) or 'none'})"
            )
        return self.fields[name]


def field_names(fields: Iterable[str]) -> str:
    """The names of a row's fields for a message, printable and few."""
    names = [name if name.isidentifier() and len(name) <= MAX_SHOWN else short(name) for name in fields]
    return ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def short(value: object) -> str:
    """A value of any kind for a message: in one line, printable, short."""
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str | list) else value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
