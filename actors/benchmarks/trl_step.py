"""TRL's `GRPOTrainer` on the same prompts, for a comparison of whole steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from datasets.utils import logging as datasets_logging
from PIL import Image
from transformers import PrinterCallback, Qwen2_5_VLProcessor, TrainerCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from actors.benchmarks.material import NUM_GRIDS, BenchData, filled
from museg.benchmarks.timing import torch_threads
from museg.config.schema import Config
from museg.data.prompts import question
from museg.data.samples import Sample
from museg.policy.inputs import vision_token_ids
from museg.rewards.scoring import Scorer
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget


@dataclass(slots=True, kw_only=True)
class TRLSteps:
    """Seconds of TRL's optimizer steps, one entry a step, and what they were spent on."""

    step_s: list[float] = field(default_factory=list)
    """From the end of one optimizer step to the end of the next."""
    generate_s: list[float] = field(default_factory=list)
    reward_s: list[float] = field(default_factory=list)
    num_tokens: list[int] = field(default_factory=list)
    """Completion tokens sampled."""
    prompt_tokens: set[int] = field(default_factory=set)
    """Lengths of the prompts that were met."""

    @property
    def learn_s(self) -> list[float]:
        """Everything else: the images' processing, policy and reference, forward and backward, the optimizer."""
        parts = zip(self.step_s, self.generate_s, self.reward_s, strict=True)
        return [step - generate - reward for step, generate, reward in parts]


class _TimedTrainer(GRPOTrainer):
    """`GRPOTrainer` with a clock around its generation."""

    def __init__(self, measured: TRLSteps, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.measured = measured

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        with _timed(self.measured.generate_s):
            generated = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        self.measured.prompt_tokens |= set(map(len, prompt_ids))
        self.measured.num_tokens.append(sum(map(len, generated[0])))
        return generated


class _StepClock(TrainerCallback):
    def __init__(self, measured: TRLSteps) -> None:
        self.measured = measured
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = time.perf_counter()
        self.measured.step_s.append(now - self._last)
        self._last = now


def trl_steps(
    config: Config, data: BenchData, processor: Qwen2_5_VLProcessor, output: Path, *, threads: int
) -> TRLSteps:
    """Train `grpo.steps` steps by TRL as the configuration says, on the same frames, in this process.

    One step is `prompts_per_step` groups: TRL generates all of them at once, by transformers' `generate` (its vLLM
    can't take new weights on a CPU), and learns group by group.
    """
    measured = TRLSteps()
    with torch_threads(threads), _quiet():
        trainer = _TimedTrainer(
            measured,
            model=config.model.path,
            reward_funcs=_reward(config, data.samples, measured),
            args=_arguments(config, processor, output),
            train_dataset=_dataset(config, data, processor),
            callbacks=[_StepClock(measured)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return measured


def _arguments(config: Config, processor: Qwen2_5_VLProcessor, output: Path) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(output),
        use_cpu=True,
        bf16=False,
        model_init_kwargs={"dtype": config.model.dtype.value},
        gradient_checkpointing=config.learner.gradient_checkpointing,
        max_steps=config.grpo.steps,
        num_generations=config.grpo.group_size,
        per_device_train_batch_size=config.grpo.group_size,
        gradient_accumulation_steps=config.grpo.prompts_per_step,
        max_completion_length=config.generation.max_tokens,
        temperature=config.generation.temperature,
        generation_kwargs={"suppress_tokens": list(vision_token_ids(processor.tokenizer))},
        beta=config.grpo.kl_beta,
        loss_type="grpo",
        learning_rate=config.learner.lr,
        lr_scheduler_type="constant",
        max_grad_norm=config.learner.max_grad_norm,
        shuffle_dataset=False,
        seed=config.seed,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


def _dataset(config: Config, data: BenchData, processor: Qwen2_5_VLProcessor) -> Dataset:
    """Every two frames, which share their visual tokens in a video, as an image: TRL takes no video.

    The tower sees as many patches in the same windows. Each image after the first brings two special tokens; the
    question is shorter by as many.
    """
    budget = FrameBudget.from_config(config.video, evaluation=False)
    text_tokens = data.shape.num_tokens - data.shape.num_visual_tokens
    problem = filled(processor.tokenizer, text_tokens - 2 * (NUM_GRIDS - 1))
    rows = []
    for sample in data.samples:
        frames = decode_clip(data.video_root / sample.video, video=sample.video, budget=budget).frames[::2]
        asked = question(
            Sample(idx=sample.idx, problem=problem, solution=(), video="", task="tvg"), config.data.template
        )
        images = [Image.fromarray(frame) for frame in frames]
        rows.append({"prompt": [{"role": "user", "content": asked}], "images": images, "idx": sample.idx})
    return Dataset.from_list(rows)


def _reward(config: Config, samples: Sequence[Sample], measured: TRLSteps) -> Any:
    """The run's own rewards in TRL's calling convention."""
    scorer, of_idx = Scorer.from_config(config.reward), {sample.idx: sample for sample in samples}

    def reward(completions: list[list[dict[str, str]]], idx: list[int], **_: Any) -> list[float]:
        with _timed(measured.reward_s):
            return [
                scorer.score(completion[0]["content"], of_idx[place], None).total
                for completion, place in zip(completions, idx, strict=True)
            ]

    return reward


@contextlib.contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - started)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor warnings on the figures' terminal."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        datasets_logging.enable_progress_bar()
