"""The learner on disk: a Hugging Face folder to use, and DeepSpeed's state to resume from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from actors.weight_sync.buckets import NamedParameter, bucketed
from museg.errors import ModelError

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

_STATE_TAG = "learner"
_SHARD_BYTES = 4 * 1024**3
_INDEX_FILE = "model.safetensors.index.json"
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json")


@contextmanager
def gathered(engine: DeepSpeedEngine, run: Sequence[NamedParameter]) -> Iterator[None]:
    """Inside, the run's parameters are whole on every rank. Collective under ZeRO-3, nothing at lower stages."""
    if engine.zero_optimization_stage() < 3:
        yield
        return
    # Here, because the driver imports this module with the worker's class and has no use for DeepSpeed.
    from deepspeed import zero

    # `modifier_rank` None: nobody changes them, so nothing is broadcast at the end.
    with zero.GatheredParameters([parameter for _, parameter in run], modifier_rank=None):
        yield


def save_hf(
    engine: DeepSpeedEngine, source: Path, path: Path, *, writes: bool, shard_bytes: int = _SHARD_BYTES
) -> None:
    """Write the policy as an ordinary Hugging Face folder, in its own dtype. All ranks call it, one writes.

    A frozen vision tower, which isn't trained, is written with what is.

    At most one shard of the weights is whole at a time.

    Args:
        engine: of the policy.
        source: model folder that the run started from; tokenizer and processor files are copied from it.
        path: folder to write, created with its parents.
        writes: on one rank alone.
        shard_bytes: largest weights file, as if in float32.
    """
    if writes:
        path.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if file.is_file() and not file.name.endswith(_WEIGHT_SUFFIXES):
                shutil.copyfile(file, path / file.name)
        engine.module.config.save_pretrained(path)
    tower = engine.module.frozen_tower
    parameters = chain(engine.module.named_parameters(), tower.named_parameters() if tower else ())
    shards = list(bucketed(parameters, shard_bytes))
    weight_map: dict[str, str] = {}
    for number, run in enumerate(shards, start=1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with gathered(engine, run):
            if writes:
                tensors = {key: value.detach().cpu().contiguous() for key, value in run}
                save_file(tensors, path / name, metadata={"format": "pt"})
        weight_map |= {key: name for key, _ in run}
    if writes and len(shards) > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (path / _INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True))


def save_state(engine: DeepSpeedEngine, path: Path, *, rank: int, num_ranks: int) -> None:
    """Write weights, optimizer, step count and random states. All ranks call it, each writes its own part."""
    engine.save_checkpoint(str(path), tag=_STATE_TAG)
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    torch.save(states, path / _random_states_file(rank, num_ranks))


def load_state(engine: DeepSpeedEngine, path: Path, *, rank: int, num_ranks: int) -> None:
    """Continue from `save_state`'s folder. All ranks call it; their number and the ZeRO stage must be as saved.

    Raises:
        ModelError: the folder holds no state for this rank of so many.
    """
    random_states = path / _random_states_file(rank, num_ranks)
    if not random_states.is_file():
        raise ModelError(
            f"{path} has no state of learner rank {rank} of {num_ranks}: resume from a complete checkpoint, "
            "with the learner.ranks that it was saved with"
        )
    loaded, _ = engine.load_checkpoint(str(path), tag=_STATE_TAG)
    if loaded is None:
        raise ModelError(f"{path} has no DeepSpeed state '{_STATE_TAG}': resume from a complete checkpoint")
    states = torch.load(random_states, weights_only=True)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def _random_states_file(rank: int, num_ranks: int) -> str:
    return f"random-states-{rank:04d}-of-{num_ranks:04d}.pt"
