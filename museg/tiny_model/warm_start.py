"""`museg warm-start`: the tiny model taught to see, and the loose answers that `museg sft` then teaches it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.config.choices import Template
from museg.data.prompts import chat_prompt, question
from museg.data.samples import Sample, read_samples, write_samples
from museg.errors import DataError, ModelError
from museg.evaluation.blind import swapped_videos
from museg.evaluation.grounding import score_grounding
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.tiny_model.architecture import build_model, build_processor, save_model
from museg.tiny_model.greedy import greedy_completions
from museg.tiny_model.lessons import Lesson, decode_all, loosely_answered, read_lessons
from museg.tiny_model.supervision import Teacher
from museg.video.clip import VideoClip

VERSION = 2
"""Of the recipe: raised whenever the same settings come to give another model."""

RECORD = "warm_start.json"

LOOSE_ANSWERS = Path("demonstrations", "loose.jsonl")
"""Within the model's folder, but not beside the weights: what lies there, a run copies into its checkpoints."""

MAX_ANSWER_TOKENS = 48
"""Three segments take 41."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStartSettings:
    """What decides the model, together with the data."""

    seed: int = 0
    """Of the weights, and of the lessons' order, wording and looseness."""
    steps: int = 220
    batch_size: int = 16
    lr: float = 2e-3
    warmup_steps: int = 30
    decay_from: float = 0.6
    """Share of the steps after which the learning rate falls, linearly, to `final_lr_fraction`."""
    final_lr_fraction: float = 0.1
    max_grad_norm: float = 1.0
    min_event_s: int = 4
    """Shortest event that is asked for."""
    loose_s: int = 8
    """Most seconds that a segment of the loose answers starts early, and ends late: GRPO is to mend that."""
    score_samples: int = 64
    """Held-out samples that the finished model answers."""

    def lr_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        decay_start = self.decay_from * self.steps
        decayed = max(0.0, step - decay_start) / max(self.steps - decay_start, 1.0)
        return self.lr * min(1.0, (step + 1) / self.warmup_steps) * (1 - (1 - self.final_lr_fraction) * decayed)


class Outcome(TypedDict):
    """What a finished warm start puts on record beside its settings."""

    losses: list[dict[str, float]]
    score: dict[str, float]
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """A warm-started model and what it can do."""

    path: Path
    score: dict[str, float]
    """Greedy, on held-out samples; `blind/miou` is with the videos swapped."""
    wall_s: float
    reused: bool
    """It was there already, made with the same settings from the same data."""

    def describe(self) -> str:
        """One line for the terminal."""
        made = "reused" if self.reused else f"made in {self.wall_s:.0f} s"
        shown = ", ".join(f"{name} {self.score[name]:.3f}" for name in ("miou", "blind/miou", "segment_matching"))
        return f"{self.path} ({made}): {shown}, format {self.score['format']:.3f}"


def warm_start(settings: WarmStartSettings, data: Path, output: Path, *, force: bool = False) -> WarmStart:
    """Make the warm-started model of `settings` from a data set of `museg data synth`, or reuse it if it is there.

    Written beside `output` and renamed when complete. A model of other settings or other data is replaced only with
    `force`; a folder that no warm start wrote, never.

    Raises:
        DataError: `data` isn't such a data set, or there isn't a single step.
        ModelError: `output` must not be replaced, or can't be written.
    """
    if settings.steps < 1:
        raise DataError(f"warm-start: steps must be at least 1 (got {settings.steps})")
    record: dict[str, object] = {
        "version": VERSION,
        "settings": asdict(settings),
        "data": {name: _digest(data / name) for name in ("warm_start.jsonl", "timeline.jsonl", "eval.jsonl")},
    }
    output = output.absolute()
    if found := _finished(output, record, force):
        return WarmStart(path=output, score=found["score"], wall_s=found["wall_s"], reused=True)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            fresh = Path(scratch) / "model"
            with _one_torch_thread():
                result = _make(settings, data, fresh)
            (fresh / RECORD).write_text(json.dumps({**record, **result}, indent=2) + "\n")
            if output.exists():
                os.rename(output, Path(scratch) / "replaced")
            os.rename(fresh, output)
    except OSError as error:
        raise ModelError(f"warm-start: can't write {output} ({error}): choose another --output or make room") from error
    return WarmStart(path=output, score=result["score"], wall_s=result["wall_s"], reused=False)


def _make(settings: WarmStartSettings, data: Path, folder: Path) -> Outcome:
    """Train, save and score the model; returns what goes on record."""
    started = time.monotonic()
    processor = build_processor()
    model = build_model(processor.tokenizer, seed=settings.seed)
    save_model(model, processor, folder)
    encoder = PromptEncoder.from_folder(folder, dtype=torch.float32)
    lessons = read_lessons(data, min_event_s=settings.min_event_s, seed=settings.seed)
    losses = _train(model, Teacher(encoder), settings, lessons)
    save_model(model, processor, folder)
    (folder / LOOSE_ANSWERS).parent.mkdir()
    write_samples(folder / LOOSE_ANSWERS, loosely_answered(lessons, settings.loose_s, seed=settings.seed))
    score = _score(model, encoder, data, settings.score_samples)
    return Outcome(losses=losses, score=score, wall_s=round(time.monotonic() - started, 1))


def _train(
    model: Qwen2_5_VLForConditionalGeneration,
    teacher: Teacher,
    settings: WarmStartSettings,
    lessons: Sequence[Lesson],
) -> list[dict[str, float]]:
    """The supervised steps; returns the losses of every tenth and of the last."""
    console = Console(stderr=True)
    console.print(f"warm start: {len(lessons):,} questions about events of {settings.min_event_s} s or more")
    model.set_attn_implementation({"text_config": "eager"})
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, betas=(0.9, 0.99), weight_decay=0.0)
    order = _batches(len(lessons), settings.batch_size, random.Random(settings.seed))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    history = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("warm start", total=settings.steps)
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.lr_at(step)
            losses = teacher.losses(model, [teacher.exercise(lessons[index]) for index in next(order)])
            optimizer.zero_grad()
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
            if step % 10 == 0 or step == settings.steps - 1:
                history.append({"step": step, **losses.as_floats()})
            progress.update(bar, advance=1, description=f"warm start, loss {losses.answer.item():.2f}")
    model.set_attn_implementation({"text_config": "sdpa"})
    return history


def _batches(num_lessons: int, batch_size: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches of shuffled passes over the lessons, laid end to end."""
    pool: list[int] = []
    while True:
        while len(pool) < batch_size:
            pool += rng.sample(range(num_lessons), num_lessons)
        batch, pool = pool[:batch_size], pool[batch_size:]
        yield batch


def _score(
    model: Qwen2_5_VLForConditionalGeneration, encoder: PromptEncoder, data: Path, num_samples: int
) -> dict[str, float]:
    """Scores of greedy answers to the first held-out questions, shown their own videos and others'."""
    samples = read_samples(data / "eval.jsonl")[:num_samples]
    clips = decode_all(data, samples)
    model.eval()
    own, swapped = (
        score_grounding(samples, _answers(model, encoder, samples, shown))
        for shown in (clips, [clips[index] for index in swapped_videos(samples)])
    )
    return {**own, "blind/miou": swapped["miou"]}


def _answers(
    model: Qwen2_5_VLForConditionalGeneration,
    encoder: PromptEncoder,
    samples: Sequence[Sample],
    clips: Sequence[VideoClip],
) -> list[str]:
    tokenizer = encoder.tokenizer
    prompts = [
        encoder.encode(chat_prompt(tokenizer, question(sample, Template.timestamps)), clip)
        for sample, clip in zip(samples, clips, strict=True)
    ]
    completions = greedy_completions(
        model,
        prompts,
        max_tokens=MAX_ANSWER_TOKENS,
        stop_token_id=tokenizer.eos_token_id,
        forbidden_token_ids=vision_token_ids(tokenizer),
    )
    return [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in completions]


def _finished(output: Path, record: dict[str, object], force: bool) -> Outcome | None:
    """What `output` has on record if it is the model of `record`; ModelError if it is anything that must stay."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    try:
        found = json.loads((output / RECORD).read_text())
    except (OSError, ValueError):
        raise ModelError(
            f"warm-start: {output} exists and isn't a warm-started model: choose another --output"
        ) from None
    if force:
        return None
    if any(found.get(key) != value for key, value in record.items()):
        raise ModelError(
            f"warm-start: {output} was made with other settings or other data: remove it, or pass --force to replace it"
        )
    return Outcome(losses=found["losses"], score=found["score"], wall_s=found["wall_s"])


def _digest(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"warm-start: {path} is missing: --data must be a folder that `museg data synth` wrote")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Operations this small gain nothing from a second thread, and wait long for one on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
