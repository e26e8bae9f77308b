"""Generation workers: vLLM engines that sample the policy's completions. Importing this doesn't load vLLM."""

from actors.generation.placement import generation_env, generation_options
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.generation.worker import INTAKE, GenerationWorker

__all__ = ["INTAKE", "GeneratedGroup", "GenerationRequest", "GenerationWorker", "generation_env", "generation_options"]
