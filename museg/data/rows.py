"""Checked access to the fields of one row of a sample file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from museg.errors import DataError

MAX_SECONDS = 1e9
"""Above any video's length; bounds integers too long for a float."""


@dataclass(frozen=True, slots=True)
class Row:
    """A JSON object and where it stands. Every getter raises DataError saying where, what and how to mend."""

    fields: Mapping[str, object]
    where: str

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.where}: {name!r} must be a text that isn't empty (got {_short(value)})")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text that isn't empty; None where the field is absent or null."""
        return None if self.fields.get(name) is None else self.text(name)

    def index(self, name: str) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise DataError(f"{self.where}: {name!r} must be an integer (got {_short(value)})")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._get(name)
        if not isinstance(value, str) or value not in choices:
            raise DataError(f"{self.where}: {name!r} must be one of {', '.join(choices)} (got {_short(value)})")
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
            raise DataError(f"{self.where}: {name!r} must be a list of [start, end], not empty (got {_short(value)})")
        return tuple(self._pair(name, pair) for pair in value)

    def _pair(self, name: str, pair: object) -> tuple[float, float]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"{self.where}: {name!r} must be a list of [start, end] (it holds {_short(pair)})")
        return self._seconds(name, pair[0]), self._seconds(name, pair[1])

    def _seconds(self, name: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
            raise DataError(f"{self.where}: {name!r} must be finite seconds of at least 0 (got {_short(value)})")
        return float(value)

    def _get(self, name: str) -> object:
        if name not in self.fields:
            raise DataError(
                f"{self.where}: field {name!r} is missing: add it (found: {', '.join(self.fields) or 'none'})"
            )
        return self.fields[name]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
