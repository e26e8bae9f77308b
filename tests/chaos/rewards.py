"""A reward that any other completion would change, so that an untrained model learns and no difference stays hidden."""

from __future__ import annotations

import zlib

from museg.data.samples import Sample
from museg.rewards.answers import ParsedAnswer
from museg.video.clip import ClipFacts


def fingerprint(answer: ParsedAnswer, sample: Sample, clip: ClipFacts | None) -> float:
    """Between 0 and 1, by the completion's checksum."""
    return zlib.crc32(answer.text.encode()) % 1009 / 1008
