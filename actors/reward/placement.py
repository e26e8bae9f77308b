"""What a reward worker asks of Ray: its name, its share of a node and its process's environment."""

from __future__ import annotations

from actors.actor_options import ActorOptions
from museg.config.schema import Config


def reward_options(config: Config, rank: int, run: str) -> ActorOptions:
    """Options of one worker:

    as_actor(RewardWorker, SCORING).options(**reward_options(config, rank, run)).remote(config, rank)
    """
    return ActorOptions(
        name=f"museg/{run}/reward-{rank}",
        num_cpus=config.reward.cpus,
        num_gpus=0.0,
        label_selector=config.reward.node_labels,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
