"""`GenerationWorker`: one vLLM engine as a Ray actor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import ray

from actors.faults.watched import Watched
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.weight_sync.buckets import WeightBucket
from actors.weight_sync.segments import SharedBucket
from museg.config.schema import Config
from museg.errors import UserError


class GenerationWorker(Watched):
    """Samples completions with the weights that it was last given.

        worker = as_actor(GenerationWorker).options(**generation_options(config, rank, run)).remote(config, rank)
        for group in worker.generate.options(num_returns="streaming").remote(requests): ...

        worker.begin_weight_update.remote()
        worker.load_weight_bucket.remote(bucket)      # of the whole model, bucket by bucket
        worker.finish_weight_update.remote(version)

    Between `begin_weight_update` and `finish_weight_update` there is no whole model to generate with.
    """

    def __init__(self, config: Config, rank: int) -> None:
        # Here, because the driver imports this class and has no use for vLLM.
        from actors.generation.engine import SamplingEngine

        self.config = config
        self.rank = rank
        self.refusal: UserError | None = None
        try:
            self.engine = SamplingEngine(config)
        except UserError as error:
            # Kept for `ready`: from a constructor it would reach the user buried in the trace of a dead actor.
            self.refusal = error

    def ready(self) -> bool:
        """True; answered once the engine is loaded.

        Raises:
            ModelError: the model folder isn't a complete Qwen2.5-VL model.
            ConfigError: vLLM refuses the settings.
        """
        if self.refusal is not None:
            raise self.refusal
        return True

    def weights_version(self) -> int:
        """Version of the weights that it samples with; 0 is the model folder's own."""
        return self.engine.weights_version

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GeneratedGroup]:
        """Yield one group per request, in the order in which they finish.

        Raises:
            ModelError: a prompt fills the whole context; it is never cut.
        """
        yield from self.engine.generate(self._with_clips(requests))

    def begin_weight_update(self) -> None:
        """Make room for new weights. One that was begun and never finished is given up."""
        self.engine.begin_weight_update()

    def load_weight_bucket(self, bucket: WeightBucket | SharedBucket) -> int:
        """Take a part of the new weights from where it lies, which is free again on return; its bytes."""
        self.engine.load_weights({"bucket": bucket})
        return bucket.num_bytes

    def finish_weight_update(self, version: int) -> None:
        """Switch to the new weights and forget all that was computed with the old ones.

        Raises:
            RuntimeError: some parameters never came.
        """
        self.engine.finish_weight_update(version)

    def num_engine_ranks(self) -> int:
        """Processes that hold a part of the model."""
        return self.config.generation.tensor_parallel_size

    def init_weight_transfer(self, init_info: Mapping[str, object]) -> None:
        """Join the learner's NCCL group; returns when all have."""
        self.engine.init_weight_transfer(init_info)

    def receive_weights(self, update_info: Mapping[str, object]) -> None:
        """Take the new weights from the learner's NCCL broadcast."""
        self.engine.load_weights(update_info)

    def __repr__(self) -> str:
        return f"generation-{self.rank}"

    def _with_clips(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        for request in requests:
            clip = request.clip
            if isinstance(clip, ray.ObjectRef):
                clip = ray.get(clip, timeout=self.config.generation.timeout_s)
            yield replace(request, clip=clip)
