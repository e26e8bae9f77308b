"""All reward workers as one: videos decoded, completions scored, whatever becomes of single workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.awake import awake_s
from actors.faults.attendance import Attendance
from actors.faults.deaths import is_fault
from actors.faults.seat import Seat
from actors.occupation import Occupation
from actors.reward.worker import DecodeOutcome
from actors.waiting import DeadlineError, before
from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget

_COPY_S = 10.0
"""Longest wait for room in this node's object store: where there is none, a clip is only where it was made."""
_Kind = Literal["decode", "score"]
"""A worker does one call of each kind at a time, in the order of asking."""


class RewardPool:
    """Hands each piece of work to the worker with the fewest calls outstanding.

    Who does it, and how often, changes nothing: the workers' methods are pure. So what a worker that died or hangs had
    to do is done by another one, while its seat is filled anew. Who fills a seat that was vacant takes part at once.
    """

    def __init__(self, seats: Sequence[Seat], timeout_s: float, occupation: Occupation | None = None) -> None:
        """`timeout_s` is the longest time for one video or one group's scores, from when the worker turns to it."""
        self.attendance = Attendance(seats)
        self.seats = self.attendance.seats
        self.timeout_s = timeout_s
        self.occupation = occupation or Occupation()
        self._answered_s: dict[tuple[int, _Kind], float] = {}
        """When a worker last finished a call of that kind, by `awake_s`."""

    async def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, ray.ObjectRef]:
        """The outcome and a reference to the clip, whose frames stay in the object store. Raises as `score` does.

        A clip made on another node has a copy on this one, so that it outlives its node.
        """

        def ask(actor: ActorHandle) -> Sequence[ray.ObjectRef]:
            refs: Sequence[ray.ObjectRef] = actor.decode.options(num_returns=2).remote(video, budget)
            return refs

        outcome, (_, clip) = await self._done("decode", f"decoding {video}", ask)
        if outcome.node_id not in (None, ray.get_runtime_context().get_node_id()):
            await asyncio.to_thread(ray.wait, [clip], timeout=_COPY_S)
        return outcome, clip

    async def score(
        self, sample: Sample, texts: Sequence[str], clip: ClipFacts | None, phase: int
    ) -> list[RewardBreakdown]:
        """The rewards of one group's completions, by the rules of a phase (its index).

        Raises:
            RewardError: a reward function failed, which it would do elsewhere too.
            DeadlineError: a worker that is alive has taken longer than `reward.timeout_s`.
            FaultError: the run has replaced too many workers.
        """

        def ask(actor: ActorHandle) -> Sequence[ray.ObjectRef]:
            return [actor.score.remote(sample, texts, clip, phase)]

        rewards, _ = await self._done("score", f"scoring sample {sample.idx}", ask)
        return list(rewards)

    async def _done(
        self, kind: _Kind, what: str, ask: Callable[[ActorHandle], Sequence[ray.ObjectRef]]
    ) -> tuple[Any, Sequence[ray.ObjectRef]]:
        """The first of the values asked for, and the references to all."""
        while True:
            rank = await self._least_busy()
            seat, life = self.seats[rank], self.seats[rank].life
            try:
                with self.occupation.of(_name(rank)):
                    refs = ask(seat.actor)
                    answer = await self._answer(rank, kind, what, refs[0])
            except (RayError, DeadlineError) as fault:
                if not is_fault(fault) or (isinstance(fault, DeadlineError) and await self._is_alive(rank, life)):
                    raise
                self.attendance.lost(rank, life, fault)
                continue
            self.attendance.raise_failures()
            return answer, refs

    async def release(self, nodes: Collection[str]) -> None:
        """Take no more from workers on nodes that are about to go, as far as they can be spared."""
        self.attendance.release(nodes)

    def close(self) -> None:
        """Give up what is being replaced."""
        self.attendance.close()

    async def _answer(self, rank: int, kind: _Kind, what: str, ref: ray.ObjectRef) -> Any:
        """The value, within the deadline, which begins when the worker has finished what it was asked before."""
        asked_s = awake_s()
        answer = await before(
            lambda: max(asked_s, self._answered_s.get((rank, kind), 0.0)) + self.timeout_s,
            f"{what} (reward.timeout_s) took longer than {self.timeout_s:g} s",
            asyncio.wrap_future(ref.future()),
        )
        self._answered_s[rank, kind] = awake_s()
        return answer

    async def _is_alive(self, rank: int, life: int) -> bool:
        """Whether the worker of that life still lives and doesn't hang."""
        responds = await self.seats[rank].responds()
        return responds and self.seats[rank].life == life and rank in self.attendance.present

    async def _least_busy(self) -> int:
        """A seat that has a worker; waits for one where all are being filled anew."""
        await self.attendance.until_any()
        return min(self.attendance.present, key=lambda rank: self.occupation.outstanding(_name(rank)))


def _name(rank: int) -> str:
    return f"reward-{rank}"
