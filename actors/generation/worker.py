"""`GenerationWorker`: one vLLM engine as a Ray actor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import ray

from actors.faults.watched import HEALTH, Watched
from actors.generation.inbox import Inbox
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.telemetry.worker_metrics import WorkerMetrics
from actors.weight_sync.buckets import WeightBucket
from actors.weight_sync.segments import SharedBucket
from museg.config.schema import Config
from museg.errors import UserError

INTAKE: Final = "intake"
"""Group of the calls that bring requests to a worker which generates."""


class GenerationWorker(Watched):
    """Samples completions with the weights that it was last given.

        worker_class = as_actor(GenerationWorker, INTAKE)
        worker = worker_class.options(**generation_options(config, rank, run)).remote(config, rank)
        for group in worker.generate.options(num_returns="streaming").remote(requests): ...

        groups = worker.generate.options(num_returns="streaming").remote(requests, sampling)
        worker.take.remote(sampling, more)            # answered when there is room for one more
        worker.close.remote(sampling)                 # ends the groups

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
        self.inbox = Inbox()
        self.metrics = WorkerMetrics(config.run.name, "generation", rank)
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

    def generate(self, requests: Sequence[GenerationRequest], sampling: int | None = None) -> Iterator[GeneratedGroup]:
        """Yield one group per request, in the order in which they finish.

        With `sampling`, a number above those of earlier calls, `take` brings more of them until `close`.

        Raises:
            ModelError: a prompt fills the whole context; it is never cut.
        """
        if sampling is None:
            yield from self._generate(requests)
            return
        self.inbox.open(sampling, requests)
        while self.inbox.wait(sampling):
            yield from self._generate(self.inbox.at_hand())

    @ray.method(concurrency_group=INTAKE)
    def take(self, sampling: int, requests: Sequence[GenerationRequest]) -> None:
        """Add requests to a sampling; answered once the engine has room for one more, or the sampling is closed."""
        self.inbox.take(sampling, requests)

    @ray.method(concurrency_group=HEALTH)
    def close(self, sampling: int) -> None:
        """No more requests come; those that wait are dropped, those that run are finished."""
        self.inbox.close(sampling)

    def begin_weight_update(self) -> None:
        """Make room for new weights. One that was begun and never finished is given up."""
        self.engine.begin_weight_update()

    def load_weight_bucket(self, bucket: WeightBucket | SharedBucket) -> int:
        """Take a part of the new weights from where it lies, which is free again on return; its bytes."""
        with self.metrics.seconds("museg_weights_load_seconds_total"):
            self.engine.load_weights({"bucket": bucket})
        self.metrics.add("museg_weights_received_bytes_total", bucket.num_bytes)
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
        with self.metrics.seconds("museg_weights_load_seconds_total"):
            self.engine.load_weights(update_info)

    def __repr__(self) -> str:
        return f"generation-{self.rank}"

    def _generate(self, requests: Iterable[GenerationRequest | None]) -> Iterator[GeneratedGroup]:
        with self.metrics.seconds("museg_generate_seconds_total"):
            for group in self.engine.generate(self._with_clips(requests)):
                self.metrics.add("museg_generated_groups_total")
                self.metrics.set("museg_worker_weights_version", self.engine.weights_version)
                yield group

    def _with_clips(self, requests: Iterable[GenerationRequest | None]) -> Iterator[GenerationRequest | None]:
        for request in requests:
            if request is None:
                yield None
                continue
            clip = request.clip
            if isinstance(clip, ray.ObjectRef):
                clip = ray.get(clip, timeout=self.config.generation.timeout_s)
            yield replace(request, clip=clip)
