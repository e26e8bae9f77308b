"""Weights bucket after bucket, each read by all generators where it lies: in the node's memory, or Ray's store."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Sequence

import ray
from ray import ObjectRef, ObjectRefGenerator
from ray.actor import ActorHandle

from actors.waiting import all_of, within


class BucketStream:
    """Passes the learner's buckets on to the generators, never touching them itself."""

    def __init__(self, learners: Sequence[ActorHandle], generators: Sequence[ActorHandle], timeout_s: float) -> None:
        self._learners = list(learners)
        self._generators = list(generators)
        self._timeout_s = timeout_s
        self._within_node: bool | None = None

    async def prepare(self) -> None:
        """Find out, the first time, whether learner and generators share a node's memory."""
        if self._within_node is None:
            asked = [actor.__ray_call__.remote(_node_of) for actor in (self._learners[0], *self._generators)]
            nodes = await within(self._timeout_s, "learner and generators (sync.timeout_s)", all_of(asked))
            self._within_node = len(set(nodes)) == 1

    async def send(self) -> int:
        """Stream all weights into generators that have begun an update; the bytes sent.

        While the generators load one bucket the next lies at their door and the learner makes the one after it, and
        waits with that: three are alive at a time, `NUM_SEGMENTS`. Bucket k + 3 may take the memory of bucket k.
        """
        # Every rank takes part in gathering sharded weights; only the first has anything to say.
        buckets, *silent = (
            learner.export_weights.options(num_returns="streaming", _generator_backpressure_num_objects=1).remote(
                within_node=self._within_node
            )
            for learner in self._learners
        )
        try:
            num_bytes = 0
            loading: deque[list[ObjectRef]] = deque()
            while bucket := await within(
                self._timeout_s, "the learner's next weights (sync.timeout_s)", anext(buckets, None)
            ):
                loading.append([generator.load_weight_bucket.remote(bucket) for generator in self._generators])
                if len(loading) > 1:
                    num_bytes += await self._loaded(loading.popleft())
            while loading:
                num_bytes += await self._loaded(loading.popleft())
            await within(
                self._timeout_s, "the learner's other ranks (sync.timeout_s)", asyncio.gather(*map(_ended, silent))
            )
            return num_bytes
        except BaseException as error:
            _let_go(error)
            raise
        finally:
            del buckets, silent

    async def _loaded(self, calls: Sequence[ObjectRef]) -> int:
        """Bytes of a bucket, once all generators have it."""
        sizes = await within(self._timeout_s, "the generators to load weights (sync.timeout_s)", all_of(calls))
        return int(sizes[0])


def _node_of(_actor: object) -> str:
    return str(ray.get_runtime_context().get_node_id())


async def _ended(stream: ObjectRefGenerator) -> None:
    async for reference in stream:
        await reference


def _let_go(error: BaseException | None) -> None:
    """Drop what the tracebacks of a failure still hold: streams among it.

    A stream that nobody holds lets its rank run on to its end. One that is held and not read makes it wait for ever,
    and with it all ranks that gather weights together.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
