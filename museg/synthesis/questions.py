"""What is asked about the footage, in the wording of the authors' training questions."""

from __future__ import annotations

import numpy as np

DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "street": ("a city street", "a street with bicycles"),
    "man": ("a man talking in a car", "a man sitting in a car"),
    "rabbit": ("a cartoon rabbit", "an animated rabbit on the grass"),
}
"""Content shown → how a question may name it. Few words: a tiny tokenizer is trained on them."""

SINGLE_SEGMENT_TEMPLATES = (
    (
        "Give you a textual query: '{query}'. When does the described content occur in the video? "
        "Please return the timestamp in seconds."
    ),
    (
        "Find the video segment that corresponds to the given textual query '{query}' "
        "and determine its start and end seconds."
    ),
    "Locate the visual content mentioned in the text query '{query}' within the video using timestamps.",
)
SEVERAL_SEGMENTS_TEMPLATES = (
    (
        "Find all the sections of the video where the action '{query}' occurs, "
        "and report the results with their respective start and end timestamps."
    ),
    (
        "Locate all instances of the action '{query}' in the video "
        "and give me the start and end times for each occurrence."
    ),
)


def ask(content: str, *, several: bool, rng: np.random.Generator) -> str:
    """A question for the segments that show `content`; `several` picks the templates that ask for all of them."""
    templates = SEVERAL_SEGMENTS_TEMPLATES if several else SINGLE_SEGMENT_TEMPLATES
    descriptions = DESCRIPTIONS[content]
    template = templates[rng.integers(len(templates))]
    return template.format(query=descriptions[rng.integers(len(descriptions))])
