"""A reward function that takes until somebody lets it go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from museg.data.samples import Sample
from museg.rewards.answers import ParsedAnswer
from museg.video.clip import ClipFacts


def patient(answer: ParsedAnswer, sample: Sample, clip: ClipFacts | None) -> float:
    """The number of predicted segments, once there is a file `go` in the folder that the sample names as its video;
    until then `begun` tells which process waits."""
    folder = Path(sample.video)
    (folder / "begun").write_text(str(os.getpid()))
    while not (folder / "go").exists():
        time.sleep(0.02)
    return float(len(sample.solution))
