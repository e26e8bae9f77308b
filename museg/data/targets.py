"""What a supervised run teaches to answer: the sample's own response, or its annotation in full marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from museg.data.samples import Sample, Segment
from museg.data.texts import refuse_special_tokens

SHORTEST_S = 0.01
"""Of a segment as written: with two decimals, a shorter one would end where it starts."""


def target_text(sample: Sample) -> str:
    """The completion that a supervised run teaches for `sample`, without the stop token.

    Raises DataError, naming the row, if its response holds a special token: the model would take it for the end of the
    turn or for a placeholder of pixels.
    """
    if sample.response is None:
        return render_answer([as_written(segment) for segment in sample.solution], write="{:.2f}".format)
    refuse_special_tokens(sample.response, where=f"sample {sample.idx}: `response`")
    return sample.response


def as_written(segment: Segment) -> Segment:
    """The segment at the precision that the templates ask for, `X.XX`: rounded, and at least `SHORTEST_S` long."""
    start, end = (round(time_s, 2) for time_s in segment)
    return start, max(end, round(start + SHORTEST_S, 2))


def render_answer(segments: Sequence[Segment], *, write: Callable[[float], str]) -> str:
    """A completion that earns the full format reward: its reasoning cites every timestamp that it answers with.

    The reward takes a timestamp found more than ten times for padding. Under 1,000 s that can't happen with up to five
    segments, and hardly does with ten.

    Args:
        segments: in seconds, kept in this order.
        write: how a number of seconds is written, as a decimal number.
    """
    pairs = [(write(start), write(end)) for start, end in segments]
    cited = " and ".join(f"from {start} to {end}" for start, end in pairs)
    answered = " ".join(f"{start}-{end}" for start, end in pairs)
    return f"<think>The event happens {cited}.</think><answer>{answered}</answer>"
