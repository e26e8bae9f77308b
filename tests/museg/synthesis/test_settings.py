from __future__ import annotations

from dataclasses import replace

import pytest

from museg.errors import DataError
from museg.synthesis.settings import SplitSettings, SynthesisSettings

SETTINGS = SynthesisSettings()


def test_the_defaults_are_valid() -> None:
    SETTINGS.validate()
    assert SETTINGS.fits(3, SETTINGS.train)
    assert SETTINGS.fits(2, SETTINGS.warm_start)
    assert not SETTINGS.fits(3, SETTINGS.warm_start)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(SETTINGS, seed=-1), "seed must be at least 0 (got -1)"),
        (replace(SETTINGS, min_duration_s=30), "durations must be 1 <= min <= max (got 30 and 24 s)"),
        (
            replace(SETTINGS, width=97),
            ("videos need at least 1 frame a second and even sides of at least 16 pixels (got 8 fps, 97 x 64)"),
        ),
        (replace(SETTINGS, several_share=1.5), "several_share must lie in [0, 1] (got 1.5)"),
        (
            replace(SETTINGS, eval=SplitSettings(num_samples=0, min_event_s=2, max_event_s=6)),
            "eval needs at least 1 sample (got 0)",
        ),
        (
            replace(SETTINGS, train=SplitSettings(num_samples=1, min_event_s=6, max_event_s=2)),
            "train events must be 1 <= min <= max (got 6 and 2 s)",
        ),
        (
            replace(SETTINGS, warm_start=SplitSettings(num_samples=1, min_event_s=10, max_event_s=14)),
            (
                "warm_start asks for 2 segments of at least 10 s, which don't fit 80% of 24 s: "
                "lengthen the videos or shorten the events"
            ),
        ),
    ],
)
def test_settings_that_no_data_set_can_have_are_named(settings: SynthesisSettings, message: str) -> None:
    with pytest.raises(DataError) as error:
        settings.validate()
    assert str(error.value) == f"data synth: {message}"


def test_long_single_events_are_valid_where_no_question_has_several() -> None:
    long = SplitSettings(num_samples=1, min_event_s=15, max_event_s=19)
    assert not SETTINGS.fits(2, long)
    replace(SETTINGS, train=long, several_share=0.0).validate()
