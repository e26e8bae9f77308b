"""What a score depends on beside the weights: without it, no two scores can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from museg import __version__
from museg.config.schema import Config
from museg.video.pixel_budget import FrameBudget

SAMPLING = "greedy"
GROUNDING_PARSER = "numbers matching \\d+\\.*\\d* in the only answer tag, in pairs"
ET_BENCH_PARSER = "each task's own, on the content of the only answer tag"
PACKAGES = ("torch", "vllm", "transformers", "ray", "decord")

_WEIGHTS_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """How the answers came about."""

    model: str
    model_sha256: str
    """Of its configuration and weights (`model_fingerprint`)."""
    data: str
    data_sha256: str
    prompt: str
    """The first question as the model got it: chat format and template."""
    fps: float
    min_frames: int
    max_frames: int
    min_pixels: int
    """Least area of a frame."""
    max_pixels: int
    """Largest area of a frame."""
    total_pixels: int
    """Area of all frames of a video, one of each temporal pair counted."""
    sampling: str
    max_tokens: int
    """Longest answer."""
    max_model_len: int
    parser: str
    dtype: str
    versions: Mapping[str, str]
    """Package → version."""
    subset: str | None = None
    """File that names the questions asked; None: all of `data`'s."""
    subset_sha256: str | None = None

    def identity(self) -> dict[str, object]:
        """Field → value of all that decides the answers; an evaluation that goes on must have the same."""
        elsewhere = ("model", "data", "subset", "parser", "versions")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in elsewhere}


def eval_settings(config: Config, *, prompt: str, parser: str, subset: Path | None = None) -> EvalSettings:
    """The settings of an evaluation of `model.path` on `data.eval`, or those of its questions that `subset` names."""
    budget = FrameBudget.from_config(config.video, evaluation=True)
    return EvalSettings(
        model=config.model.path,
        model_sha256=model_fingerprint(Path(config.model.path)),
        data=str(config.data.eval),
        data_sha256=_sha256(Path(str(config.data.eval))),
        prompt=prompt,
        fps=budget.fps,
        min_frames=budget.min_frames,
        max_frames=budget.max_frames,
        min_pixels=budget.min_pixels,
        max_pixels=budget.max_pixels,
        total_pixels=budget.total_pixels,
        sampling=SAMPLING,
        max_tokens=config.eval.max_tokens,
        max_model_len=config.generation.max_model_len,
        parser=parser,
        dtype=config.model.dtype.value,
        versions=dict(_versions()),
        subset=None if subset is None else str(subset),
        subset_sha256=None if subset is None else _sha256(subset),
    )


def model_fingerprint(folder: Path) -> str:
    """SHA-256 of the model's config.json and weights index, and of size, first and last MiB of each weights file.

    Tells two checkpoints of one run apart without reading gigabytes.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for index in sorted(folder.glob("*.safetensors.index.json")):
        digest.update(index.read_bytes())
    for weights in sorted(folder.glob("*.safetensors")):
        size = weights.stat().st_size
        digest.update(f"{weights.name} {size}".encode())
        with weights.open("rb") as file:
            digest.update(file.read(_WEIGHTS_SAMPLE_BYTES))
            file.seek(max(0, size - _WEIGHTS_SAMPLE_BYTES))
            digest.update(file.read())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions() -> Iterator[tuple[str, str]]:
    yield "museg", __version__
    for package in PACKAGES:
        # vLLM for CPUs is a package of another name.
        for name in (package, f"{package}-cpu"):
            try:
                yield package, version(name)
                break
            except PackageNotFoundError:
                continue
