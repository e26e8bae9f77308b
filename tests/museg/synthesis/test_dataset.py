from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import decord
import pytest

from museg.data.samples import read_samples
from museg.errors import DataError
from museg.synthesis import dataset
from museg.synthesis.dataset import SyntheticData, synthesize
from museg.synthesis.rendering import VideoPlan
from museg.synthesis.settings import SplitSettings, SynthesisSettings

SMALL = SynthesisSettings(
    warm_start=SplitSettings(num_samples=10, min_event_s=7, max_event_s=14),
    train=SplitSettings(num_samples=10, min_event_s=2, max_event_s=6),
    eval=SplitSettings(num_samples=10, min_event_s=2, max_event_s=6),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return synthesize(SMALL, tmp_path_factory.mktemp("synthesis") / "data", workers=2)


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(root)), path.read_bytes()


def test_the_videos_are_as_long_as_their_samples_say(small: SyntheticData) -> None:
    for path in (small.warm_start, small.train, small.eval):
        samples = read_samples(path)
        assert len(samples) == 10
        for sample in samples:
            video = decord.VideoReader(str(small.root / sample.video))
            assert sample.duration_s is not None
            assert len(video) == sample.duration_s * 8
            assert video[0].shape == (64, 96, 3)


def test_three_in_ten_questions_ask_for_several_segments(small: SyntheticData) -> None:
    for path in (small.warm_start, small.train, small.eval):
        samples = read_samples(path)
        assert [sample.task for sample in samples].count("tal") == 3
        assert all((len(sample.solution) > 1) == (sample.task == "tal") for sample in samples)


def test_events_are_long_in_the_warm_start_and_short_elsewhere(small: SyntheticData) -> None:
    lengths = {
        path.stem: [end - start for sample in read_samples(path) for start, end in sample.solution]
        for path in (small.warm_start, small.train, small.eval)
    }
    assert min(lengths["warm_start"]) >= 7
    assert max(lengths["train"] + lengths["eval"]) <= 6


def test_the_timelines_of_the_warm_start_agree_with_its_annotations(small: SyntheticData) -> None:
    rows = [json.loads(line) for line in small.timeline.read_text().splitlines()]
    samples = read_samples(small.warm_start)
    assert [row["video"] for row in rows] == [sample.video for sample in samples]
    for row, sample in zip(rows, samples, strict=True):
        assert len(row["seconds"]) == sample.duration_s
        inside = [any(start <= second < end for start, end in sample.solution) for second in range(len(row["seconds"]))]
        asked = {content for content, is_inside in zip(row["seconds"], inside, strict=True) if is_inside}
        assert len(asked) == 1
        assert [content in asked for content in row["seconds"]] == inside


def test_neither_workers_nor_a_second_run_change_a_byte(small: SyntheticData, tmp_path: Path) -> None:
    again = synthesize(SMALL, tmp_path / "data", workers=1)
    assert not again.reused
    assert dict(contents(again.root)) == dict(contents(small.root))


def test_the_same_settings_reuse_what_is_there(small: SyntheticData) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.root.rglob("*")}
    assert synthesize(SMALL, small.root) == replace(small, reused=True)
    assert {path: path.stat().st_mtime_ns for path in small.root.rglob("*")} == before


def test_other_settings_are_refused_until_forced(tmp_path: Path) -> None:
    one = SplitSettings(num_samples=1, min_event_s=2, max_event_s=6)
    settings = replace(SMALL, warm_start=one, train=one, eval=one)
    first = synthesize(settings, tmp_path / "data", workers=1)
    rows = first.eval.read_text()
    with pytest.raises(DataError, match="made with other settings: pass --force to replace it"):
        synthesize(replace(settings, seed=1), first.root)
    assert first.eval.read_text() == rows
    second = synthesize(replace(settings, seed=1), first.root, workers=1, force=True)
    assert second.eval.read_text() != rows
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    for force in (False, True):
        with pytest.raises(DataError, match="isn't a synthetic data set: choose another --output"):
            synthesize(SMALL, tmp_path, force=force)
    assert kept.read_text() == "mine"


def test_nothing_is_left_of_a_run_that_fails(tmp_path: Path) -> None:
    too_long = replace(SMALL, train=SplitSettings(num_samples=1, min_event_s=20, max_event_s=20))
    with pytest.raises(DataError, match="train asks for 2 segments"):
        synthesize(too_long, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="workers must be at least 1"):
        synthesize(SMALL, tmp_path / "data", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_run_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(plans: Sequence[VideoPlan], **_: object) -> None:
        assert plans[0].path.parent.is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "render_videos", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthesize(SMALL, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"can't write .*file/data"):
        synthesize(SMALL, tmp_path / "file" / "data")
