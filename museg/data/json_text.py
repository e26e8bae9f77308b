"""JSON from strangers, read so that every file ends in a value or in one line of what is wrong with it."""

from __future__ import annotations

import json

MAX_NESTING = 50
"""Objects and lists in one another; the authors' files have 4."""

_TOO_DEEP = f"it is nested more than {MAX_NESTING} deep"


class JSONTextError(ValueError):
    """A text that isn't JSON, or is JSON that can't be relied on; the message says why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line
        """Line of the fault, from 1; None where it isn't known."""


def parse_json(text: str) -> object:
    """The value of a JSON text. Not only bad syntax is refused:

    a name that stands twice in an object, of which readers take the first or the last at will; an integer of thousands
    of digits, which takes quadratic time; and nesting deeper than what walks it could follow. NaN and Infinity are
    read: they are for the fields to judge.
    Raises JSONTextError.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise JSONTextError(f"{error.msg} at column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise JSONTextError(_TOO_DEEP) from error
    except JSONTextError:
        raise
    except ValueError as error:
        raise JSONTextError("it holds an integer of too many digits") from error
    # Counting brackets, some of which may stand in texts, is much quicker than looking at every value.
    if text.count("[") + text.count("{") > MAX_NESTING and _is_too_deep(value):
        raise JSONTextError(_TOO_DEEP)
    return value


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in fields if names.count(name) > 1)
        raise JSONTextError(f"the field {twice[:60]!r} stands twice in an object")
    return fields
