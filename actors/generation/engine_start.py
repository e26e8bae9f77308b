"""How vLLM is set up: exact logprobs and repeatable samples first, then a quick start."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ray
import torch
from pydantic import ValidationError
from vllm import EngineArgs, LLMEngine
from vllm.config import EncoderCacheManagerConfig, VllmConfig, WeightTransferConfig
from vllm.v1.executor import Executor

from actors.generation.encoder_cache import FRUGAL_ENCODER_CACHE
from actors.generation.engine_metrics import stat_loggers
from actors.weight_sync import object_store
from museg.config.choices import SyncBackend
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.policy.inputs import ENGINE_PROCESSOR_KWARGS
from museg.policy.loading import check_model_folder

_CPU_BATCH_TOKENS = 8192
_CPU_BLOCK_TOKENS = 32
"""Tokens of a KV block, the fewest that vLLM's CPU kernels like: a group shares its prompt in whole blocks."""


def start_engine(config: Config) -> LLMEngine:
    """Load `model.path` into an engine in this process.

    Raises:
        ModelError: the folder isn't a complete Qwen2.5-VL model.
        ConfigError: vLLM refuses the combination of settings.
    """
    check_model_folder(Path(config.model.path))
    object_store.register()
    try:
        vllm_config = _vllm_config(config)
        with nullcontext() if torch.cuda.is_available() else _temporary_files_removed():
            return LLMEngine(
                vllm_config=vllm_config,
                executor_class=Executor.get_class(vllm_config),
                log_stats=ray.is_initialized(),
                stat_loggers=stat_loggers(),
                multiprocess_mode=False,
            )
    except ValueError as error:
        generation = config.generation
        raise ConfigError(
            f"vLLM can't run {config.model.path} with generation.max_model_len {generation.max_model_len} and "
            f"generation.kv_cache_gib {generation.kv_cache_gib:g}: {_first_sentence(error)}; change these"
        ) from error


@contextmanager
def _temporary_files_removed() -> Iterator[None]:
    """Those made inside don't outlive it.

    An engine that is killed can't remove the file by which its ranks meet. For a single rank on CPU, which doesn't need
    it again: NCCL's may.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="museg-engine-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def _vllm_config(config: Config) -> VllmConfig:
    on_cuda = torch.cuda.is_available()
    arguments = EngineArgs(**_arguments(config, on_cuda), **(_cuda(config) if on_cuda else _cpu(config)))
    vllm_config: VllmConfig = arguments.create_engine_config()
    if not on_cuda:
        # A full encoder cache would cut a prompt before its video, and a seeded request can't go on from there on CPU.
        everything = config.generation.max_sequences * config.generation.max_model_len
        vllm_config.scheduler_config.max_num_encoder_input_tokens = everything
        vllm_config.scheduler_config.encoder_cache_size = everything
    return vllm_config


def _arguments(config: Config, on_cuda: bool) -> dict[str, object]:
    generation = config.generation
    return {
        "model": config.model.path,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "dtype": config.model.dtype.value,
        "seed": config.seed,
        "max_model_len": generation.max_model_len,
        "max_num_seqs": generation.max_sequences,
        "tensor_parallel_size": generation.tensor_parallel_size,
        "enable_prefix_caching": True,
        # Of the distribution that was sampled from: temperature and forbidden tokens applied.
        "logprobs_mode": "processed_logprobs",
        "limit_mm_per_prompt": {"image": 0, "video": 1},
        "mm_processor_kwargs": dict(ENGINE_PROCESSOR_KWARGS),
        # A clip comes once per weights version: keeping processed ones would only cost memory.
        "mm_processor_cache_gb": 0,
        "ec_manager_config": EncoderCacheManagerConfig(encoder_cache_manager_cls=FRUGAL_ENCODER_CACHE),
        # A frozen tower's outputs come instead of pixels; evaluation may still send these.
        "enable_mm_embeds": config.policy.freeze_vision,
        "weight_transfer_config": WeightTransferConfig(backend=_transfer_backend(config, on_cuda)),
        "disable_log_stats": not ray.is_initialized(),
    }


def _cuda(config: Config) -> dict[str, object]:
    return {
        "gpu_memory_utilization": config.generation.gpu_memory_utilization,
        "enforce_eager": config.generation.enforce_eager,
    }


def _cpu(config: Config) -> dict[str, object]:
    return {
        # Both together skip the profiling run.
        "enforce_eager": True,
        "kv_cache_memory_bytes": int(config.generation.kv_cache_gib * 1024**3),
        "skip_mm_profiling": True,
        "block_size": _CPU_BLOCK_TOKENS,
        # A prompt is computed in one piece: on CPU a seeded request fails on a chunked one.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(
            _CPU_BATCH_TOKENS, config.generation.max_model_len, config.generation.max_sequences
        ),
    }


def _transfer_backend(config: Config, on_cuda: bool) -> str:
    backend = config.sync.backend
    if backend is SyncBackend.auto:
        backend = SyncBackend.nccl if on_cuda else SyncBackend.object_store
    if backend is SyncBackend.nccl and not on_cuda:
        raise ConfigError("sync.backend is nccl, and a generation worker has no GPU: set it to auto or object_store")
    if backend is SyncBackend.object_store and config.generation.tensor_parallel_size > 1:
        raise ConfigError(
            f"sync.backend is object_store, which reaches one process a worker, and generation.tensor_parallel_size is "
            f"{config.generation.tensor_parallel_size}: set it to 1, or sync.backend to nccl"
        )
    return backend.value


def _first_sentence(error: ValueError) -> str:
    text = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return " ".join(text.split()).removeprefix("Value error, ").partition(". ")[0].removesuffix(".")
