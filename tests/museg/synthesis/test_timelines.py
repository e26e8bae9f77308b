from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from museg.synthesis.questions import DESCRIPTIONS
from museg.synthesis.settings import MIN_GAP_S, SplitSettings, SynthesisSettings
from museg.synthesis.timelines import Shot, Timeline, draw_timeline

SETTINGS = SynthesisSettings()
SPLITS = st.sampled_from([SETTINGS.warm_start, SETTINGS.train])


def draw_many(split: SplitSettings, num: int, *, several: bool) -> list[Timeline]:
    rng = np.random.default_rng(0)
    return [draw_timeline(SETTINGS, split, several=several, rng=rng) for _ in range(num)]


def test_segments_and_seconds_follow_from_the_shots() -> None:
    shots = (
        Shot(content="man", num_seconds=2),
        Shot(content="street", num_seconds=3),
        Shot(content="rabbit", num_seconds=1),
        Shot(content="street", num_seconds=1),
    )
    timeline = Timeline(asked="street", shots=shots)
    assert timeline.segments == ((2.0, 5.0), (6.0, 7.0))
    assert timeline.duration_s == 7
    assert timeline.seconds == ["man", "man", "street", "street", "street", "rabbit", "street"]


@settings(deadline=None)
@given(split=SPLITS, several=st.booleans(), seed=st.integers(0, 2**32))
def test_events_fit_the_video_and_nothing_else_shows_what_is_asked_for(
    split: SplitSettings, several: bool, seed: int
) -> None:
    timeline = draw_timeline(SETTINGS, split, several=several, rng=np.random.default_rng(seed))
    segments = timeline.segments
    assert len(segments) in ((2, 3) if several else (1,))
    assert 12 <= timeline.duration_s <= 24
    assert segments[-1][1] <= timeline.duration_s
    assert all(split.min_event_s <= end - start <= split.max_event_s for start, end in segments)
    assert all(right[0] - left[1] >= MIN_GAP_S for left, right in pairwise(segments))
    assert sum(end - start for start, end in segments) <= 0.8 * timeline.duration_s
    assert all(left.content != right.content for left, right in pairwise(timeline.shots))
    shown = {second for second, content in enumerate(timeline.seconds) if content == timeline.asked}
    assert shown == {second for start, end in segments for second in range(int(start), int(end))}


def test_three_segments_are_asked_for_only_where_three_events_fit() -> None:
    short = Counter(len(timeline.segments) for timeline in draw_many(SETTINGS.train, 600, several=True))
    assert 150 < short[3] < 250
    assert {len(timeline.segments) for timeline in draw_many(SETTINGS.warm_start, 600, several=True)} == {2}


def test_single_events_have_every_length_position_and_content_equally_often() -> None:
    timelines = draw_many(SETTINGS.train, 2000, several=False)
    starts = Counter(int(timeline.segments[0][0]) for timeline in timelines)
    lengths = Counter(int(timeline.segments[0][1] - timeline.segments[0][0]) for timeline in timelines)
    assert set(starts) == set(range(23))
    assert all(65 < starts[start] < 130 for start in range(18))
    assert all(340 < lengths[length] < 460 for length in range(2, 7))
    assert all(600 < count < 735 for count in Counter(timeline.asked for timeline in timelines).values())


def test_no_constant_answer_scores_well_on_short_events() -> None:
    segments = np.array([timeline.segments[0] for timeline in draw_many(SETTINGS.train, 1000, several=False)])
    best = 0.0
    for start in range(24):
        for end in range(start + 1, 25):
            overlap = np.minimum(segments[:, 1], end) - np.maximum(segments[:, 0], start)
            union = np.maximum(segments[:, 1], end) - np.minimum(segments[:, 0], start)
            best = max(best, float((np.maximum(overlap, 0) / union).mean()))
    assert 0.15 < best < 0.22


def test_every_content_has_descriptions() -> None:
    assert all(len(set(descriptions)) >= 2 for descriptions in DESCRIPTIONS.values())
