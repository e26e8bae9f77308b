from __future__ import annotations

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report.groups import choose_groups
from museg.runs.report.timelines import Bar, Timeline, build_timeline
from tests.museg.runs.report.conftest import MakeRow


def timeline_of(run: RunDirectory, *rows: dict[str, object]) -> Timeline:
    run.write_rollouts(1, rows)
    return build_timeline(choose_groups(run)[0])


def spans(bars: tuple[Bar, ...]) -> list[tuple[float, float]]:
    return [(bar.left_percent, bar.width_percent) for bar in bars]


def test_segments_lie_where_they_are_in_the_video(new_run: RunDirectory, make_row: MakeRow) -> None:
    timeline = timeline_of(
        new_run,
        make_row(index=0, solution=[[5.0, 10.0], [15.0, 16.0]]),
        make_row(index=1, completion="<think>2.0</think><answer>2.0-7.0 19.0-20.0</answer>"),
    )
    assert spans(timeline.annotated) == [(25.0, 25.0), (75.0, 5.0)]
    assert [spans(track.bars) for track in timeline.tracks] == [[(25.0, 25.0)], [(10.0, 25.0), (95.0, 5.0)]]
    assert timeline.tracks[1].bars[0].label == "2–7 s"


@pytest.mark.parametrize("answer", ["", "from 2 to 7", "7.0-2.0", "nan-3"])
def test_an_answer_that_doesn_t_count_when_training_has_no_bars(
    new_run: RunDirectory, make_row: MakeRow, answer: str
) -> None:
    timeline = timeline_of(new_run, make_row(completion=f"<think></think><answer>{answer}</answer>"))
    assert timeline.tracks[0].bars == ()


def test_a_segment_beyond_the_end_is_cut_there(new_run: RunDirectory, make_row: MakeRow) -> None:
    text = "<think></think><answer>15.0-1e9 30.0-40.0 1.0-20.0</answer>"
    bars = timeline_of(new_run, make_row(completion=text)).tracks[0].bars
    assert spans(bars) == [(75.0, 25.0), (100.0, 0.0), (5.0, 95.0)]
    assert [bar.is_cut for bar in bars] == [True, True, False]


def test_without_a_duration_the_axis_ends_past_the_last_annotation(new_run: RunDirectory, make_row: MakeRow) -> None:
    timeline = timeline_of(new_run, make_row(duration=None, solution=[[4.0, 8.0]]))
    assert spans(timeline.annotated) == [(40.0, 40.0)]


def test_an_annotation_past_the_stated_duration_is_seen_whole(new_run: RunDirectory, make_row: MakeRow) -> None:
    assert spans(timeline_of(new_run, make_row(duration=5.0)).annotated) == [(50.0, 50.0)]


def test_ticks_are_round_times(new_run: RunDirectory, make_row: MakeRow) -> None:
    ticks = timeline_of(new_run, make_row(duration=20.0)).ticks
    assert [(tick.left_percent, tick.label) for tick in ticks] == [
        (0.0, "0 s"),
        (25.0, "5 s"),
        (50.0, "10 s"),
        (75.0, "15 s"),
        (100.0, "20 s"),
    ]
