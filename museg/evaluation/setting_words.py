"""The settings of evaluations in words, so that those of two rows can be told apart by people."""

from __future__ import annotations

from collections.abc import Mapping

from museg.config.choices import Template
from museg.config.schema import Config
from museg.data.prompts import ET_BENCH_TEMPLATE, QUESTION_TEMPLATES
from museg.evaluation.benchmarks import Benchmark
from museg.evaluation.settings import ET_BENCH_PARSER, GROUNDING_PARSER, SAMPLING, EvalSettings
from museg.video.pixel_budget import FrameBudget

_SHORT = 8
"""Characters of a fingerprint."""
_PROMPTS = {
    "timestamps template": QUESTION_TEMPLATES[Template.timestamps],
    "plain template": QUESTION_TEMPLATES[Template.plain],
    "E.T. Bench template": ET_BENCH_TEMPLATE,
}


def described(settings: EvalSettings) -> dict[str, str]:
    """Setting → value; each package's version under the package's name."""
    budget = FrameBudget(
        fps=settings.fps,
        min_frames=settings.min_frames,
        max_frames=settings.max_frames,
        min_pixels=settings.min_pixels,
        max_pixels=settings.max_pixels,
        total_pixels=settings.total_pixels,
    )
    return {
        "model": f"{settings.model} ({settings.model_sha256[:_SHORT]})",
        "data": settings.data,
        "data's SHA-256": settings.data_sha256[:_SHORT],
        "subset": f"{settings.subset} ({settings.subset_sha256[:_SHORT]})" if settings.subset_sha256 else "all",
        "prompt": _described_prompt(settings.prompt),
        **_described_budget(budget),
        "sampling": f"{settings.sampling}, {settings.max_tokens} tokens",
        "dtype": settings.dtype,
        "parser": settings.parser,
        **settings.versions,
    }


def described_training(config: Config, num_steps: int) -> dict[str, str]:
    """Those of the held-out evaluation at the end of a run, as far as the run notes them."""
    return {
        "model": f"{config.model.path} after {num_steps} steps",
        "data": str(config.data.eval),
        "prompt": f"{config.data.eval_template} template",
        **_described_budget(FrameBudget.from_config(config.video, evaluation=True)),
        "sampling": f"{SAMPLING}, {config.eval.max_tokens} tokens",
        "dtype": config.model.dtype.value,
        "parser": GROUNDING_PARSER,
    }


def described_published(benchmark: Benchmark) -> Mapping[str, str]:
    """Those of the authors' evaluation scripts (src/eval_grounding.py, src/eval_et_bench.py).

    The parsers are the authors' too: ours find the same in the same answers.
    """
    et_bench = benchmark is Benchmark.et_bench
    return {
        "prompt": "E.T. Bench template" if et_bench else "timestamps template",
        "fps": "2",
        "frames": "4 to 768",
        "pixels": "a frame 12544 to 602112, a video 2809856",
        "sampling": f"{SAMPLING}, 512 tokens",
        "dtype": "bfloat16",
        "parser": ET_BENCH_PARSER if et_bench else GROUNDING_PARSER,
    }


def _described_budget(budget: FrameBudget) -> dict[str, str]:
    return {
        "fps": f"{budget.fps:g}",
        "frames": f"{budget.min_frames} to {budget.max_frames}",
        "pixels": f"a frame {budget.min_pixels} to {budget.max_pixels}, a video {budget.total_pixels}",
    }


def _described_prompt(prompt: str) -> str:
    """Which of the authors' templates the prompt holds, or that it is none of them."""
    for name, template in _PROMPTS.items():
        if template.removeprefix("{} ") in prompt:
            return name
    return "another template"
