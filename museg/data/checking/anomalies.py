"""What can be wrong with a row of a sample file, how bad that is, and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ROUNDING_S = 1.0
"""An annotation may miss the video's end by this much and count as rounded rather than wrong."""


class Severity(StrEnum):
    error = "error"
    """Training or evaluation refuses the row, or learns something false from it."""
    warning = "warning"
    """Usable as it stands, but worth knowing."""


class Kind(StrEnum):
    """One sort of anomaly. A row has at most one of each kind but `missing_field` and `wrong_type`."""

    malformed = "malformed"
    missing_field = "missing_field"
    wrong_type = "wrong_type"
    unknown_task = "unknown_task"
    wrong_task = "wrong_task"
    special_token = "special_token"
    unsafe_text = "unsafe_text"
    unsafe_path = "unsafe_path"
    empty_solution = "empty_solution"
    non_finite = "non_finite"
    negative = "negative"
    inverted = "inverted"
    beyond_duration = "beyond_duration"
    bad_duration = "bad_duration"
    leak = "leak"
    missing_file = "missing_file"
    unreadable = "unreadable"
    beyond_probed_duration = "beyond_probed_duration"
    duration_mismatch = "duration_mismatch"
    too_long_prompt = "too_long_prompt"
    overlapping = "overlapping"
    unsorted = "unsorted"
    integer_bounds = "integer_bounds"
    missing_duration = "missing_duration"
    duplicate = "duplicate"
    duplicate_idx = "duplicate_idx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a kind means for its rows."""

    severity: Severity
    meaning: str
    remedy: str
    """What to do about it, `--fix` first."""
    mendable: bool = True
    """False: `--fix` drops the row."""


def _error(meaning: str, remedy: str) -> Rule:
    return Rule(severity=Severity.error, meaning=meaning, remedy=remedy)


def _fatal(meaning: str, remedy: str) -> Rule:
    return Rule(severity=Severity.error, meaning=meaning, remedy=f"{remedy}; --fix drops the row", mendable=False)


def _warning(meaning: str, remedy: str) -> Rule:
    return Rule(severity=Severity.warning, meaning=meaning, remedy=remedy)


RULES: Mapping[Kind, Rule] = {
    Kind.malformed: _fatal("not a JSON object", "mend the line"),
    Kind.missing_field: _fatal("a required field is absent", "add it"),
    Kind.wrong_type: _fatal("a field's value is of another type", "mend it"),
    Kind.unknown_task: _fatal("the task is neither tvg nor tal", "name one of them"),
    Kind.wrong_task: _error("tvg, which asks for one segment, with several", "--fix makes it tal"),
    Kind.special_token: _fatal("the problem (or response) holds a token of the chat format", "remove it"),
    Kind.unsafe_text: _fatal("a text holds control characters, or is endless", "mend it"),
    Kind.unsafe_path: _fatal("the video's path leads out of the video root", "make it relative to it, without .."),
    Kind.empty_solution: _fatal("no segment at all", "annotate it"),
    Kind.non_finite: _fatal("a bound is no finite number of seconds", "mend it"),
    Kind.negative: _error("a bound before the video begins", "--fix cuts the segment at 0"),
    Kind.inverted: _error(
        "a segment doesn't end after it starts", "--fix turns it round, and drops it if it has no length"
    ),
    Kind.beyond_duration: _error(
        f"a segment ends after the duration (up to {ROUNDING_S:.0f} s: warning)", "--fix cuts it at the end"
    ),
    Kind.bad_duration: _error("the duration isn't seconds above 0", "--fix takes the video's own, or leaves it out"),
    Kind.leak: _fatal("the video is in a split given by --against", "keep each video in one split"),
    Kind.missing_file: _fatal("there is no such video", "check --video-root, or fetch the video"),
    Kind.unreadable: _fatal("the video can't be decoded", "re-encode or replace it"),
    Kind.beyond_probed_duration: _error(
        f"a segment ends after the video itself (up to {ROUNDING_S:.0f} s: warning)", "--fix cuts it at the end"
    ),
    Kind.duration_mismatch: _error(
        f"the video is longer or shorter than annotated by more than {ROUNDING_S:.0f} s",
        "is it the right video? --fix takes its own duration",
    ),
    Kind.too_long_prompt: _fatal(
        "with its video the prompt fills the context of --config", "raise generation.max_model_len or lower video.*"
    ),
    Kind.overlapping: _warning(
        "segments of a row overlap, so their common part counts twice", "--fix --merge makes them one"
    ),
    Kind.unsorted: _warning("segments aren't in the order of their starts", "--fix sorts them"),
    Kind.integer_bounds: _warning("all bounds are whole seconds: a coarse annotation", "nothing, if that is known"),
    Kind.missing_duration: _warning("no duration annotated", "--fix --video-root takes the video's own"),
    Kind.duplicate: _warning("the same question about the same video", "--fix drops repeats with the same answer"),
    Kind.duplicate_idx: _warning("an earlier row has the same idx", "--fix gives it a new one"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One thing that is wrong with one row."""

    file: str
    row: int
    """Line of a file of JSON lines, or number of the question in a list, from 1."""
    idx: int | None
    video: str | None
    kind: Kind
    severity: Severity
    detail: str
