"""What a learner rank asks of Ray: its name, its share of a node and its process's environment."""

from __future__ import annotations

from actors.actor_options import ActorOptions
from actors.cluster import has_gpus
from museg.config.schema import Config


def learner_env(config: Config) -> dict[str, str]:
    """Environment variables that must stand before a rank's process imports torch and DeepSpeed."""
    environment = {"OMP_NUM_THREADS": str(config.learner.threads), "TOKENIZERS_PARALLELISM": "false"}
    if not has_gpus():
        # DeepSpeed otherwise guesses its device from what is installed beside it.
        environment["DS_ACCELERATOR"] = "cpu"
    elif config.deterministic:
        # cuBLAS refuses deterministic mode without it.
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    return environment


def learner_options(config: Config, rank: int, run: str) -> ActorOptions:
    """Options of one rank:

    as_actor(LearnerWorker).options(**learner_options(config, rank, run)).remote(config, rank)
    """
    return ActorOptions(
        name=f"museg/{run}/learner-{rank}",
        num_cpus=config.learner.cpus,
        num_gpus=1.0 if has_gpus() else 0.0,
        label_selector={},
        runtime_env={"env_vars": learner_env(config)},
    )
