"""The text that the tiny tokenizer is trained on: question wordings, the authors' instructions, the answer style."""

from __future__ import annotations

from collections.abc import Sequence

from museg.data.samples import Segment
from museg.data.targets import render_answer

MAX_SECOND = 63
"""Seconds 0 … 63 are one token each."""

ANSWER_TAGS = ("<think>", "</think>", "<answer>", "</answer>")

INSTRUCTIONS = (
    " First, output reasoning process in <think> </think> tags.",
    " The reasoning process must REFER TO SPECIFIC TIMESTAMPS TO TELL WHERE YOU GET THE INFORMATION FROM THE VIDEO.",
    (
        " Then summarize your reasoning process above and output selected segments like"
        ' "<answer>X.XX-X.XX</answer>", where "X" denotes arabic numbers.'
    ),
    ' If there are multiple segments, separate them with spaces like "<answer>X.XX-X.XX X.XX-X.XX</answer>".',
    ' Your output format should be like "<think>...</think><answer>...</answer>".',
)
"""Sentences that every prompt repeats (the authors' templates, museg/data/prompts.py): one token each."""

_QUESTIONS = (
    (
        "Give you a textual query: '{}'. When does the described content occur in the video?"
        " Please return the timestamp in seconds."
    ),
    (
        "The given natural language query '{}' is semantically aligned with a video moment,"
        " please give the start time and end time of the video moment."
    ),
    "Locate the visual content mentioned in the text query '{}' within the video using timestamps.",
    (
        "Detect and report the start and end timestamps of the video segment that semantically matches"
        " the given textual query '{}'."
    ),
    "Find the video segment that corresponds to the given textual query '{}' and determine its start and end seconds.",
    (
        "Localize the visual content described by the given textual query '{}' in the video,"
        " and output the start and end timestamps in seconds."
    ),
    (
        "Detect and localize all the video segments containing the given action '{}',"
        " and provide the outputs using start and end timestamps."
    ),
    (
        "Find all the sections of the video where the action '{}' occurs,"
        " and report the results with their respective start and end timestamps."
    ),
    (
        "Discover and determine the locations of all video portions containing the action '{}',"
        " and return the start and end time in seconds."
    ),
    (
        "Identify and list all segments of the video where the action '{}' takes place,"
        " providing the start and end times for each instance."
    ),
    "Locate all instances of the action '{}' in the video and give me the start and end times for each occurrence.",
    (
        "For the given action '{}', locate all corresponding video sections and present the results"
        " with starting and ending timestamps."
    ),
)
"""Question wordings of the authors' annotations."""

_CONTENTS = (
    "a street with bicycles",
    "people riding bicycles on the street",
    "bikes on a road",
    "a man talking in a car",
    "the man in the car talks",
    "a person driving",
    "an animation of a rabbit",
    "the animated cartoon bunny",
    "an animated animal in a meadow",
)

_CHAT = "system\nYou are a helpful assistant.\nuser\nassistant\n"

_NAMES = " street man animation car bikes bicycles cartoon yes no"


def second_token(second: int) -> str:
    """Text of a whole second as answers and the vocabulary write it, `7.0`."""
    return f"{second}.0"


def answer_text(segments: Sequence[Segment]) -> str:
    """The full-marks completion for `segments` (seconds): it cites every timestamp that it answers with."""
    return render_answer(segments, write=lambda seconds: str(float(seconds)))


def training_corpus() -> list[str]:
    """Texts for the byte-pair merges, each often enough that all of its words become one token."""
    questions = [wording.format(content) for wording in _QUESTIONS for content in _CONTENTS]
    answers = [answer_text([(1.0, 5.0)]), answer_text([(1.0, 5.0), (7.0, 9.0)])] * 10
    return questions + answers + list(INSTRUCTIONS) * 2 + [_CHAT, _NAMES] * 10
