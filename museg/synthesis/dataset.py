"""`museg data synth`: a whole data set, written at once or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from museg.data.samples import Sample, write_samples
from museg.errors import DataError
from museg.synthesis.footage import find_clips
from museg.synthesis.questions import ask
from museg.synthesis.rendering import VideoPlan, render_videos
from museg.synthesis.settings import SplitSettings, SynthesisSettings
from museg.synthesis.timelines import draw_timeline

VERSION = 1
"""Of the recipe: raised whenever the same settings come to give other data."""

MANIFEST = "manifest.json"
HELD_OUT_SPLIT = "eval"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticData:
    """Where the parts of a data set lie. The samples' video paths are relative to `root`."""

    root: Path
    warm_start: Path
    train: Path
    eval: Path
    timeline: Path
    """Per-second contents of the warm start's videos: `{"video", "seconds": [content, …]}` a line."""
    reused: bool
    """It was there already, made from the same settings."""

    @classmethod
    def at(cls, root: Path, *, reused: bool) -> Self:
        return cls(
            root=root,
            warm_start=root / "warm_start.jsonl",
            train=root / "train.jsonl",
            eval=root / "eval.jsonl",
            timeline=root / "timeline.jsonl",
            reused=reused,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """The samples of one split with the videos that they are about, one each."""

    samples: list[Sample]
    videos: list[VideoPlan]


def synthesize(
    settings: SynthesisSettings, output: Path, *, workers: int | None = None, force: bool = False
) -> SyntheticData:
    """Make the data set of `settings` in the folder `output`, or reuse it if it is there.

    Written beside `output` and renamed when complete. A data set of other settings is replaced only with `force`;
    a folder that isn't a data set, never. Raises DataError.
    """
    settings.validate()
    if workers is not None and workers < 1:
        raise DataError(f"data synth: workers must be at least 1 (got {workers})")
    manifest = {"version": VERSION, "settings": asdict(settings)}
    output = output.absolute()
    if _holds(output, manifest, force):
        return SyntheticData.at(output, reused=True)
    find_clips()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            fresh = Path(scratch) / "data"
            _write(settings, fresh, workers)
            (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            if output.exists():
                os.rename(output, Path(scratch) / "replaced")
            os.rename(fresh, output)
    except OSError as error:
        raise DataError(f"data synth: can't write {output} ({error}): choose another --output or make room") from error
    return SyntheticData.at(output, reused=False)


def _holds(output: Path, manifest: dict[str, object], force: bool) -> bool:
    """Whether `output` already is the data set of `manifest`. Raises DataError if it is anything that must stay."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    try:
        found = json.loads((output / MANIFEST).read_text())
        is_ours = isinstance(found, dict) and "settings" in found and "version" in found
    except (OSError, ValueError):
        is_ours = False
    if not is_ours:
        raise DataError(f"data synth: {output} exists and isn't a synthetic data set: choose another --output")
    if force:
        return False
    if found != manifest:
        raise DataError(f"data synth: {output} was made with other settings: pass --force to replace it")
    return True


def _write(settings: SynthesisSettings, root: Path, workers: int | None) -> None:
    data = SyntheticData.at(root, reused=False)
    videos: list[VideoPlan] = []
    for number, (name, split_settings) in enumerate(settings.splits().items()):
        (root / "videos" / name).mkdir(parents=True)
        split = _plan_split(settings, split_settings, name, number, root)
        write_samples(root / f"{name}.jsonl", split.samples)
        if name == data.warm_start.stem:
            _write_timelines(data.timeline, split)
        videos += split.videos
    render_videos(videos, size=(settings.width, settings.height), fps=settings.fps, workers=workers)


def _plan_split(settings: SynthesisSettings, split: SplitSettings, name: str, number: int, root: Path) -> _Split:
    samples, videos = [], []
    for idx in range(split.num_samples):
        seed = (settings.seed, number, idx)
        rng = np.random.default_rng((*seed, 0))
        several = int((idx + 1) * settings.several_share) > int(idx * settings.several_share)
        timeline = draw_timeline(settings, split, several=several, rng=rng)
        sample = Sample(
            idx=idx,
            problem=ask(timeline.asked, several=several, rng=rng),
            solution=timeline.segments,
            video=f"videos/{name}/{idx:05d}.mp4",
            task="tal" if several else "tvg",
            duration_s=float(timeline.duration_s),
        )
        samples.append(sample)
        videos.append(
            VideoPlan(path=root / sample.video, timeline=timeline, held_out=name == HELD_OUT_SPLIT, seed=(*seed, 1))
        )
    return _Split(samples=samples, videos=videos)


def _write_timelines(path: Path, split: _Split) -> None:
    with path.open("w") as lines:
        for sample, plan in zip(split.samples, split.videos, strict=True):
            lines.write(json.dumps({"video": sample.video, "seconds": plan.timeline.seconds}) + "\n")
