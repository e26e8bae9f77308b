"""What a generation worker asks of Ray: its name, its share of a node and its process's environment."""

from __future__ import annotations

from actors.actor_options import ActorOptions
from actors.cluster import has_gpus
from museg.config.schema import Config

_KEEPING_FREED_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}
"""glibc's malloc: packed weights that are freed at every update aren't given back to the kernel, page by page, to be
asked for again at once, and any thread finds them."""


def generation_env(config: Config) -> dict[str, str]:
    """Environment variables that must stand before a worker's process imports torch and vLLM."""
    environment = {
        # The engine lives in the actor itself: weights reach it without another hop.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # Below this level vLLM on CPU logs a line for every request.
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(config.generation.threads),
    }
    if not has_gpus():
        # vLLM would compile one reduction of its sampler, by a C++ compiler that the machine may lack.
        environment["TORCHDYNAMO_DISABLE"] = "1"
        environment |= _KEEPING_FREED_MEMORY
    elif config.deterministic:
        # On CPU in float32 a group is the same whatever it is computed with; on CUDA only in this mode.
        environment["VLLM_BATCH_INVARIANT"] = "1"
    return environment


def generation_options(config: Config, rank: int, run: str) -> ActorOptions:
    """Options of one worker:

    as_actor(GenerationWorker, INTAKE).options(**generation_options(config, rank, run)).remote(config, rank)
    """
    return ActorOptions(
        name=f"museg/{run}/generation-{rank}",
        num_cpus=config.generation.cpus,
        num_gpus=float(config.generation.tensor_parallel_size) if has_gpus() else 0.0,
        label_selector=config.generation.node_labels,
        runtime_env={"env_vars": generation_env(config)},
    )
