"""A run of any size, made up: for the report's bounds on time and size."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from museg.runs.directory import RunDirectory

CONFIG = """\
run: {{name: long}}
grpo: {{steps: {steps}, group_size: {size}, prompts_per_step: {groups}}}
data: {{video_root: nowhere}}
phases:
  - {{name: stage_1, steps: {half}}}
  - {{name: stage_2, steps: {half}}}
"""
TALK = """
the person opens door and then walks across room while another one is sitting at table near window she takes a cup
from shelf puts it down before turning to camera video shows first part second scene begins around where event
happens so answer must be between these moments because hand moves towards laptop closes book looks outside he
starts cooking pan stove water glass phone picture frame dog runs grass ball throws back again slowly quickly
"""
WORDS = TALK.split()
SAMPLES = 8000
TOKENS = 120


def write_long_run(path: Path, *, steps: int, groups: int, size: int) -> RunDirectory:
    """`steps` steps of `groups` groups of `size` completions: about 300 characters and 120 tokens each."""
    chance = random.Random(0)
    run = RunDirectory(path)
    run.create(CONFIG.format(steps=steps, size=size, groups=groups, half=steps // 2))
    questions = [" ".join(chance.choices(WORDS, k=9)) for _ in range(SAMPLES)]
    for step in range(1, steps + 1):
        run.append_metrics(_metrics(step, steps, chance))
        rows = []
        for idx in chance.sample(range(SAMPLES), groups):
            rows += _group(step, idx, questions[idx], size, chance)
        run.rollouts_file(step).write_bytes(msgspec.json.Encoder().encode_lines(rows))
    return run


def _metrics(step: int, steps: int, chance: random.Random) -> dict[str, float]:
    progress, noise = step / steps, chance.gauss(0, 0.05)
    row = {
        "step": step,
        "reward/mean": 0.8 + progress + noise,
        "reward/std": 0.4,
        "reward/format": min(1.0, 0.6 + progress / 2 + noise),
        "reward/segment_matching": 0.4 + progress / 2 + noise,
        "policy/kl": 0.1 * progress,
        "policy/entropy": 1.2 - progress + noise,
        "policy/grad_norm": 0.3 + noise,
        "parity/logprob_gap_mean": 1e-6,
        "parity/logprob_gap_max": 1e-5,
        "completion/tokens_mean": TOKENS + 100 * noise,
        "time/step_s": 60.0,
        "time/generate_s": 30.0 + 10 * noise,
        "time/learn_s": 25.0,
        "time/sync_s": 5.0,
        "throughput/tokens_per_s": 2000.0,
    }
    if step % 20 == 0:
        row |= {"eval/miou": 0.4 + progress / 2, "eval/blind/miou": 0.2}
    return row


def _group(step: int, idx: int, question: str, size: int, chance: random.Random) -> list[dict[str, object]]:
    start = chance.uniform(5, 80)
    length = chance.uniform(3, 30)
    rows: list[dict[str, object]] = []
    for index in range(size):
        low, high = round(start + chance.gauss(0, 4), 1), round(start + length + chance.gauss(0, 4), 1)
        matching = round(max(0.0, 1 - abs(low - start) / 10), 4)
        text = " ".join(chance.choices(WORDS, k=48))
        rows.append(
            {
                "step": step,
                "idx": idx,
                "index": index,
                "video": f"videos/{idx:05d}.mp4",
                "problem": question,
                "task": "tvg",
                "solution": [[start, start + length]],
                "duration": 120.0,
                "completion": f"<think>{text} from {low} to {high} seconds</think><answer>{low}-{high}</answer>",
                "token_ids": chance.choices(range(151_000), k=TOKENS),
                "rewards": {"format": 1.0, "segment_matching": matching},
                "reward": 1.0 + matching,
                "advantage": chance.gauss(0, 1),
                "learned": True,
                "logprob_gap_mean": 1e-6 * chance.random(),
                "logprob_gap_max": 1e-5 * chance.random(),
                "finish_reason": "stop",
                "num_tokens": TOKENS,
                "weights_version": step - 1,
            }
        )
    return rows
