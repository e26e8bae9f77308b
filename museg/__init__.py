"""The MUSEG method: samples, videos, rewards, GRPO and the policy. Nothing here knows of Ray, vLLM or DeepSpeed."""

__version__ = "0.1.0"
