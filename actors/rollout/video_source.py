"""Where consumers get their clips: each video decoded once, the recently used ones kept over steps and epochs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence

import ray

from actors.draining import living_nodes
from actors.reward.pool import RewardPool
from actors.reward.worker import DecodeOutcome
from museg.video.limits import GIB
from museg.video.pixel_budget import FrameBudget

Decoded = tuple[DecodeOutcome, ray.ObjectRef]
Embed = Callable[[ray.ObjectRef], Awaitable[ray.ObjectRef]]
"""From a clip to the frozen tower's embeddings of it."""
Nodes = Callable[[], Collection[str]]
"""Ids of the cluster's living nodes."""
_Key = tuple[str, FrameBudget]


class VideoSource:
    """A bounded cache of clips in the object store, in front of the reward workers.

        videos = VideoSource(reward_workers, cache_gib=config.video.cache_gib)
        outcome, clip = await videos.clip("a.mp4", budget)

    The bound is on what is kept beyond its use: the least recently used clips are let go first, and a clip lives on
    while somebody else holds its reference. A video that is being decoded is waited for, not decoded again. What can't
    be decoded isn't kept, so a file that was mended is seen. Clips that went with their node are decoded again.
    """

    def __init__(
        self,
        reward_workers: RewardPool,
        *,
        cache_gib: float,
        embed: Embed | None = None,
        nodes: Nodes | None = None,
    ) -> None:
        """With `embed`, what is handed out and kept are embeddings in the place of frames."""
        self._nodes = nodes or living_nodes
        self.reward_workers = reward_workers
        self.embed = embed
        self.max_bytes = int(cache_gib * GIB)
        self._kept: OrderedDict[_Key, Decoded] = OrderedDict()
        """The least recently used first."""
        self._num_bytes = 0
        self._decoding: dict[_Key, asyncio.Task[Decoded]] = {}
        self._num_asked = 0
        self._num_hits = 0

    async def clip(self, video: str, budget: FrameBudget) -> Decoded:
        """The outcome and a reference to the clip, whose frames stay in the object store.

        Raises:
            DeadlineError: decoding took longer than `reward.timeout_s`.
        """
        key = (video, budget)
        self._num_asked += 1
        if kept := self._kept_and_there(key):
            self._kept.move_to_end(key)
            self._num_hits += 1
            return kept
        if key in self._decoding:
            self._num_hits += 1
        else:
            self._decoding[key] = asyncio.create_task(self._decode(key))
        # Others may wait for the same video when this caller is cancelled.
        return await asyncio.shield(self._decoding[key])

    def lost(self, outcomes: Sequence[DecodeOutcome]) -> set[str]:
        """The videos whose clips were made on nodes that are gone, and went with them."""
        made_on = {outcome.video: outcome.node_id for outcome in outcomes if outcome.node_id is not None}
        living = self._nodes() if made_on else ()
        return {video for video, node in made_on.items() if node not in living}

    @property
    def num_bytes(self) -> int:
        """Of the clips that are kept beyond their use."""
        return self._num_bytes

    @property
    def num_decoding(self) -> int:
        return len(self._decoding)

    def hit_rate(self) -> float:
        """Share of the clips asked for since the last call that didn't have to be decoded; 1 where none was."""
        rate = self._num_hits / self._num_asked if self._num_asked else 1.0
        self._num_asked = self._num_hits = 0
        return rate

    def _kept_and_there(self, key: _Key) -> Decoded | None:
        kept = self._kept.get(key)
        if kept is None or not self.lost([kept[0]]):
            return kept
        self._num_bytes -= self._kept.pop(key)[0].num_bytes
        return None

    async def _decode(self, key: _Key) -> Decoded:
        try:
            outcome, clip = await self.reward_workers.decode(*key)
            if outcome.error is not None:
                return outcome, clip
            decoded = outcome, clip if self.embed is None else await self.embed(clip)
        finally:
            del self._decoding[key]
        self._keep(key, decoded)
        return decoded

    def _keep(self, key: _Key, decoded: Decoded) -> None:
        self._kept[key] = decoded
        self._num_bytes += decoded[0].num_bytes
        while self._num_bytes > self.max_bytes:
            _, (outcome, _) = self._kept.popitem(last=False)
            self._num_bytes -= outcome.num_bytes
