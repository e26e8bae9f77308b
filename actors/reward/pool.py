"""All reward workers as one: videos decoded, completions scored, whatever becomes of single workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.cluster import DeadlineError
from actors.faults.deaths import is_fault
from actors.faults.seat import Seat
from actors.occupation import Occupation
from actors.reward.worker import DecodeOutcome
from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget

_Kind = Literal["decode", "score"]
"""A worker does one call of each kind at a time, in the order of asking."""


class RewardPool:
    """Hands each piece of work to the worker with the fewest calls outstanding.

    Who does it, and how often, changes nothing: the workers' methods are pure. So what a worker that died or hangs had
    to do is done by another one, while its seat is filled anew.
    """

    def __init__(self, seats: Sequence[Seat], timeout_s: float, occupation: Occupation | None = None) -> None:
        """`timeout_s` is the longest time for one video or one group's scores, from when the worker turns to it."""
        self.seats = list(seats)
        self.timeout_s = timeout_s
        self.occupation = occupation or Occupation()
        self._refills: dict[int, asyncio.Task[None]] = {}
        """Seats that are being filled anew, or couldn't be."""
        self._answered_s: dict[tuple[int, _Kind], float] = {}
        """When a worker last finished a call of that kind."""

    async def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, ray.ObjectRef]:
        """The outcome and a reference to the clip, whose frames stay in the object store. Raises as `score` does."""

        def ask(actor: ActorHandle) -> Sequence[ray.ObjectRef]:
            refs: Sequence[ray.ObjectRef] = actor.decode.options(num_returns=2).remote(video, budget)
            return refs

        outcome, (_, clip) = await self._done("decode", f"decoding {video}", ask)
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
                self._refill(rank, life, fault)
                continue
            self._require_refills()
            return answer, refs

    async def _answer(self, rank: int, kind: _Kind, what: str, ref: ray.ObjectRef) -> Any:
        """The value, within the deadline, which begins when the worker has finished what it was asked before."""
        asked_s = time.monotonic()
        waiting = asyncio.wrap_future(ref.future())
        try:
            while not waiting.done():
                begun_s = max(asked_s, self._answered_s.get((rank, kind), 0.0))
                left_s = begun_s + self.timeout_s - time.monotonic()
                if left_s <= 0:
                    raise DeadlineError(f"{what} (reward.timeout_s) took longer than {self.timeout_s:g} s")
                await asyncio.wait([waiting], timeout=left_s)
            self._answered_s[rank, kind] = time.monotonic()
            return waiting.result()
        finally:
            waiting.cancel()

    async def _is_alive(self, rank: int, life: int) -> bool:
        """Whether the worker of that life still lives and doesn't hang."""
        responds = await self.seats[rank].responds()
        return responds and self.seats[rank].life == life and rank not in self._refills

    def _refill(self, rank: int, life: int, fault: BaseException) -> None:
        """Have the seat filled anew while the others go on."""
        if rank in self._refills or self.seats[rank].life != life:
            return
        refill = self._refills[rank] = asyncio.create_task(self.seats[rank].refill(fault, life))

        def forget(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is None:
                del self._refills[rank]

        refill.add_done_callback(forget)

    def _require_refills(self) -> None:
        """Raise what kept a seat from being filled anew."""
        for refill in self._refills.values():
            if refill.done():
                refill.result()

    async def _least_busy(self) -> int:
        """A seat that has a worker; waits for one where all are being filled anew."""
        while not (manned := [rank for rank in range(len(self.seats)) if rank not in self._refills]):
            await asyncio.wait(self._refills.values(), return_when=asyncio.FIRST_COMPLETED)
            self._require_refills()
        self._require_refills()
        return min(manned, key=lambda rank: self.occupation.outstanding(_name(rank)))


def _name(rank: int) -> str:
    return f"reward-{rank}"
