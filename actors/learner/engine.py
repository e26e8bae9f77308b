"""DeepSpeed engines of one rank: the policy that trains, and the frozen reference."""

from __future__ import annotations

import functools
import gc
import logging
import os
import warnings
from datetime import timedelta
from pathlib import Path

import deepspeed
import torch
from deepspeed.accelerator import get_accelerator
from deepspeed.ops.op_builder.all_ops import ALL_OPS
from deepspeed.runtime.zero import parameter_offload
from transformers.utils.logging import disable_progress_bar

from museg.config.choices import DType
from museg.config.schema import Config
from museg.policy.loading import load_policy
from museg.policy.model import PackedPolicy

TORCH_DTYPES = {DType.float32: torch.float32, DType.bfloat16: torch.bfloat16}
_MAX_REDUCE_BUCKET = 50_000_000
"""Gradient elements that ranks reduce at once."""


def join_ranks(config: Config, rank: int, address: str, port: int) -> None:
    """Join the process group of all ranks: NCCL on CUDA, gloo on CPU. Blocks until the last rank has come."""
    # DeepSpeed takes all of these from the environment, and Ray shows a rank only its own GPU. Without LOCAL_SIZE it
    # counts a CPU's NUMA nodes by a subprocess, at every reduction of ZeRO-3.
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(config.learner.ranks), LOCAL_RANK="0", LOCAL_SIZE="1")
    os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port))
    get_accelerator().set_device(0)
    # Nothing here needs DeepSpeed's own operators, and it would compile one for gloo, minutes at the first start.
    deepspeed.ops.__compatible_ops__ = dict.fromkeys(ALL_OPS, False)
    _quieten()
    deepspeed.init_distributed(
        dist_backend="nccl" if torch.cuda.is_available() else "gloo",
        auto_mpi_discovery=False,
        timeout=timedelta(seconds=config.learner.timeout_s),
        verbose=False,
    )


def _quieten() -> None:
    """Keep progress bars and DeepSpeed's reports of its own insides out of the actor's log."""
    deepspeed.utils.logger.setLevel(logging.WARNING)
    disable_progress_bar()
    # DeepSpeed calls old names of collectives, at every reduction.
    warnings.filterwarnings("ignore", message=".*torch.distributed.* is deprecated", category=FutureWarning)


def build_policy_engine(config: Config, path: Path) -> deepspeed.DeepSpeedEngine:
    """The policy of a folder under torch's AdamW at the configured ZeRO stage; `backward`s add up until `step`."""
    model = load_policy(
        path,
        dtype=TORCH_DTYPES[config.model.dtype],
        gradient_checkpointing=config.learner.gradient_checkpointing,
        freeze_vision=config.policy.freeze_vision,
    )
    if model.frozen_tower is not None:
        # DeepSpeed moves what it trains, and the tower is no part of that.
        model.frozen_tower.to(get_accelerator().current_device_name())
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learner.lr,
        betas=config.learner.betas,
        weight_decay=config.learner.weight_decay,
        fused=True,
    )
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=training_config(config, model), dist_init_required=False
    )
    return engine


def build_reference(config: Config, path: Path) -> PackedPolicy | deepspeed.DeepSpeedEngine:
    """The policy of a folder, frozen. Under ZeRO-3 its parameters are sharded over the ranks like the policy's.

    Where the vision tower is frozen it has none: it takes what the policy's has embedded.
    """
    model = load_policy(
        path,
        dtype=TORCH_DTYPES[config.model.dtype],
        gradient_checkpointing=False,
        freeze_vision=config.policy.freeze_vision,
    )
    model.frozen_tower = None
    model = model.requires_grad_(False).eval()
    if config.learner.zero_stage < 3:
        return model.to(get_accelerator().current_device_name())
    engine, *_ = deepspeed.initialize(model=model, config=_base_config(config, model), dist_init_required=False)
    engine.eval()
    return engine


def release(model: PackedPolicy | deepspeed.DeepSpeedEngine | None) -> None:
    """Have an engine let go of its hooks and buffers, so that its memory is free once nobody holds it any more."""
    if isinstance(model, deepspeed.DeepSpeedEngine):
        model.destroy()
        # ZeRO-3 leaves modules on this stack, the whole model among them, and all their weights would stay with them.
        stack, gone = parameter_offload.FWD_MODULE_STACK, set(model.module.modules())
        stack[:] = [module for module in stack if module not in gone]
        # So would those of every model that a cache over ZeRO-3's methods has seen as an argument.
        for cached in gc.get_objects():
            if isinstance(cached, functools._lru_cache_wrapper) and cached.__module__.startswith("deepspeed."):
                cached.cache_clear()


def reclaim_memory() -> None:
    """Collect what was let go of. Engines and their modules hold each other."""
    gc.collect()
    get_accelerator().empty_cache()


def clip_at_step(engine: deepspeed.DeepSpeedEngine, config: Config) -> list[torch.Tensor] | None:
    """Where DeepSpeed keeps the gradient's norm to itself (stage 0 in float32), clip in its stead.

    As DeepSpeed does elsewhere, a step whose norm isn't finite changes nothing.

    Returns:
        A list that every step adds its norm to, or None where `engine.get_global_grad_norm()` tells.
    """
    if not _keeps_parameters(config):
        return None
    norms: list[torch.Tensor] = []

    def clip(optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, config.learner.max_grad_norm))
        if not torch.isfinite(norms[-1]):
            for parameter in parameters:
                parameter.grad = None

    engine.optimizer.register_step_pre_hook(clip)
    return norms


def lends_parameters(config: Config) -> bool:
    """Whether others may read the engine's parameters where they lie between two steps: see `SharedParameters`."""
    return _keeps_parameters(config) and get_accelerator().device_name() == "cpu"


def _keeps_parameters(config: Config) -> bool:
    """Whether DeepSpeed leaves parameters and optimizer as they are, without buffers or master copies of its own."""
    return config.learner.zero_stage == 0 and config.model.dtype is DType.float32


def training_config(config: Config, model: PackedPolicy) -> dict[str, object]:
    """DeepSpeed's configuration for the policy."""
    settings = _base_config(config, model)
    settings["gradient_clipping"] = 0.0 if _keeps_parameters(config) else config.learner.max_grad_norm
    if config.model.dtype is DType.bfloat16 and config.learner.zero_stage > 0:
        # A step sums several groups; bfloat16 would swallow the small ones.
        settings["data_types"] = {"grad_accum_dtype": "fp32"}
    return settings


def _base_config(config: Config, model: PackedPolicy) -> dict[str, object]:
    stage, num_parameters = config.learner.zero_stage, sum(parameter.numel() for parameter in model.parameters())
    zero: dict[str, object] = {
        "stage": stage,
        "overlap_comm": stage >= 2 and torch.cuda.is_available(),
        "reduce_bucket_size": min(_MAX_REDUCE_BUCKET, num_parameters),
    }
    if stage == 3:
        # Norms and biases stay whole on every rank: gathering them costs more than it saves.
        zero["stage3_param_persistence_threshold"] = 10 * model.config.text_config.hidden_size
    return {
        "train_micro_batch_size_per_gpu": 1,
        # A backward never ends a step: a rank may have any number of groups, and `step` alone applies them.
        "managed_gradient_accumulation": False,
        "zero_optimization": zero,
        "bf16": {"enabled": config.model.dtype is DType.bfloat16},
        "steps_per_print": None,
        "log_level": "warning",
    }
