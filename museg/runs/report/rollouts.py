"""Rollouts of a run, read back as groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from museg.data.samples import Segment
from museg.errors import DataError
from museg.runs.directory import RunDirectory


class RecordedCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a rollouts file, as far as the report needs it; token ids are passed over."""

    idx: int
    index: int
    """Place in its group."""
    video: str
    problem: str
    solution: tuple[Segment, ...]
    duration: float | None
    """Of the video, in seconds, as the sample says."""
    completion: str
    rewards: Mapping[str, float]
    reward: float
    advantage: float
    finish_reason: str
    num_tokens: int
    logprob_gap_max: float | None = None
    """Of its tokens, in nats; None where it wasn't learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSample:
    """What was asked. `idx` alone doesn't tell samples apart: phases may have data of their own."""

    idx: int
    video: str
    problem: str
    solution: tuple[Segment, ...]
    duration_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedGroup:
    """A question and its G completions."""

    sample: RecordedSample
    completions: tuple[RecordedCompletion, ...]

    @property
    def reward_mean(self) -> float:
        return math.fsum(completion.reward for completion in self.completions) / len(self.completions)

    @property
    def reward_std(self) -> float:
        """Of the population, as the advantages have it."""
        mean = self.reward_mean
        return math.sqrt(math.fsum((one.reward - mean) ** 2 for one in self.completions) / len(self.completions))

    @property
    def num_characters(self) -> int:
        return sum(len(completion.completion) for completion in self.completions)


_decoder = msgspec.json.Decoder(RecordedCompletion)


def read_groups(run: RunDirectory, step: int) -> list[RecordedGroup]:
    """The groups of `step`, in the order of its file.

    Raises:
        DataError: the file is damaged.
    """
    rows = _read_rows(run, step)
    if not rows:
        return []
    # A sample drawn twice in a row makes two groups: a group begins where its index starts again.
    starts = [
        place
        for place, (last, one) in enumerate(itertools.pairwise(rows), 1)
        if one.idx != last.idx or one.index <= last.index
    ]
    return [_group(rows[start:end]) for start, end in itertools.pairwise([0, *starts, len(rows)])]


def _read_rows(run: RunDirectory, step: int) -> list[RecordedCompletion]:
    file = run.rollouts_file(step)
    content = file.read_bytes()
    try:
        return _decoder.decode_lines(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        for number, line in enumerate(content.split(b"\n"), 1):
            try:
                if line.strip():
                    _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{file}, line {number}: isn't a completion ({error}); remove the file to report without that step"
                ) from error
        raise


def _group(rows: Sequence[RecordedCompletion]) -> RecordedGroup:
    first = rows[0]
    return RecordedGroup(
        sample=RecordedSample(
            idx=first.idx,
            video=first.video,
            problem=first.problem,
            solution=first.solution,
            duration_s=first.duration,
        ),
        completions=tuple(rows),
    )
