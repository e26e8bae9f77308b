from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from actors.faults.seat import Seat
from actors.learner.stats import DemonstrationStats, DivergedError, GroupStats, StepStats
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.rollout.rollouts import Rollout
from actors.supervised.lesson import Lesson
from actors.waiting import DeadlineError
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import ModelError
from museg.grpo.aggregation import StepTotals
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group
from museg.sft.demonstrations import Demonstration


@dataclass(frozen=True, slots=True)
class Call:
    """A Ray method handle's `.remote(…)`, answered by a plain function once it is awaited."""

    answer: Callable[..., object]

    def remote(self, *arguments: object) -> Awaitable[object]:
        asked = asyncio.get_running_loop().create_future()
        try:
            asked.set_result(self.answer(*arguments))
        except DivergedError as error:
            asked.set_exception(error)
            # Ray's references don't warn of failures that nobody asked for.
            asked.exception()
        return asked


class RecordingRank:
    """Stands for a learner rank where only the dealing is looked at."""

    def __init__(self) -> None:
        self.seen: list[list[Group]] = []
        self.num_steps = 0
        self.accumulate = Call(self._accumulate)
        self.accumulate_supervised = Call(self._accumulate_supervised)
        self.step = Call(self._step)

    def _accumulate(self, groups: list[Group], clips: list[str], totals: StepTotals) -> list[GroupStats]:
        assert [f"clip of {group.sample.idx}" for group in groups] == clips
        if any(group.sample.idx == 13 for group in groups):
            raise DivergedError("the group of sample 13")
        self.totals = totals
        self.seen.append(groups)
        return [stats_of_update(group.sample.idx, self.num_steps + 1) for group in groups]

    def _accumulate_supervised(
        self, demonstrations: list[Demonstration], clips: list[str], num_demonstrations: int
    ) -> list[DemonstrationStats]:
        return [DemonstrationStats(loss=one.idx, entropy=0.0, num_tokens=num_demonstrations) for one in demonstrations]

    def _step(self) -> StepStats:
        self.num_steps += 1
        return StepStats(
            step=1,
            grad_norm=0.5 * self.num_steps,
            lr=1e-3,
            seconds=0.1,
            busy_s=(2.0,),
            num_micro_batches=len(self.seen),
            num_tokens=10,
        )

    def seen_ids(self) -> list[list[int]]:
        return [[group.sample.idx for group in groups] for groups in self.seen]


def stats_of_update(idx: int, update: int) -> GroupStats:
    return GroupStats(
        loss=float(idx * update),
        kl=0.0,
        entropy=0.0,
        clip_fraction=0.25 * (update - 1),
        num_ratios=1,
        importance=None,
        logprob_gap_mean=0.0,
        logprob_gap_max=0.0,
        completion_gaps=(),
        num_tokens=1,
    )


def rollout_of(idx: int, num_tokens: int) -> Rollout:
    sample = Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg")
    completion = Completion(token_ids=(1,), logprobs=(0.0,), text="", finish_reason="stop", weights_version=0)
    reward = RewardBreakdown(values={}, total=0.0)
    group = Group(sample=sample, prompt="", completions=(completion,), rewards=(reward,), advantages=(0.0,))
    return Rollout(group=group, clip=f"clip of {idx}", num_prompt_tokens=num_tokens - 1)  # type: ignore[arg-type]


def gang_of(
    ranks: Sequence[Any],
    *,
    micro_batch_tokens: int = 10,
    updates: int = 1,
    timeout_s: float = 5,
    zero_stage: int = 0,
) -> LearnerGang:
    config = Config()
    config.learner.ranks, config.learner.zero_stage = len(ranks), zero_stage
    config.learner.micro_batch_tokens, config.learner.timeout_s = micro_batch_tokens, timeout_s
    config.grpo.updates_per_rollout = updates
    return LearnerGang([Seat.of(rank, f"learner-{number}") for number, rank in enumerate(ranks)], config, Occupation())


ROLLOUTS = [rollout_of(idx, num_tokens) for idx, num_tokens in enumerate([9, 7, 4, 3, 3])]
TOTALS = StepTotals.ahead(5, 1)


def test_groups_go_out_as_micro_batches_close_and_are_answered_in_order_without_their_annotation() -> None:
    ranks = [RecordingRank(), RecordingRank()]

    async def step() -> tuple[list[GroupStats], StepStats]:
        learning = await gang_of(ranks).begin_step(TOTALS)
        sent = []
        for rollout in ROLLOUTS:
            learning.add(rollout)
            sent.append([rank.seen_ids() for rank in ranks])
        # Nothing has been waited for yet.
        assert sent == [
            [[], []],
            [[[0]], []],
            [[[0]], [[1]]],
            [[[0]], [[1], [2, 3]]],
            [[[0], [4]], [[1], [2, 3]]],
        ]
        return await learning.finish()

    group_stats, step_stats = asyncio.run(step())
    assert [stats.loss for stats in group_stats] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert step_stats == StepStats(
        step=1, grad_norm=0.5, lr=1e-3, seconds=0.1, busy_s=(2.0, 2.0), num_micro_batches=4, num_tokens=20
    )
    assert all(rank.totals == TOTALS for rank in ranks)
    assert all(group.sample.solution == () for rank in ranks for groups in rank.seen for group in groups)


@pytest.mark.parametrize("pause_before", [set(), {0, 1, 2, 3, 4}, {4}])
def test_who_computes_what_does_not_depend_on_when_groups_come(pause_before: set[int]) -> None:
    ranks = [RecordingRank(), RecordingRank(), RecordingRank()]

    async def step() -> None:
        learning = await gang_of(ranks).begin_step(TOTALS)
        for place, rollout in enumerate(ROLLOUTS):
            if place in pause_before:
                await asyncio.sleep(0.01)
            learning.add(rollout)
        await learning.finish()

    asyncio.run(step())
    assert [rank.seen_ids() for rank in ranks] == [[[0]], [[1], [4]], [[2], [3]]]


def test_where_ranks_compute_together_each_is_sent_a_micro_batch_when_all_have_one() -> None:
    ranks = [RecordingRank(), RecordingRank()]
    sent = []

    async def step() -> list[GroupStats]:
        learning = await gang_of(ranks, zero_stage=2).begin_step(TOTALS)
        for rollout in ROLLOUTS:
            learning.add(rollout)
            sent.append([rank.seen_ids() for rank in ranks])
        return (await learning.finish())[0]

    stats = asyncio.run(step())
    assert sent == [[[], []], [[], []], [[[0]], [[1]]], [[[0]], [[1]]], [[[0], [4]], [[1], [2, 3]]]]
    assert [one.loss for one in stats] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_updates_go_over_the_same_micro_batches_and_a_step_tells_of_the_first_but_for_clipping() -> None:
    rank = RecordingRank()

    async def step() -> tuple[list[GroupStats], StepStats]:
        learning = await gang_of([rank], updates=3).begin_step(TOTALS)
        for rollout in ROLLOUTS:
            learning.add(rollout)
        return await learning.finish()

    group_stats, step_stats = asyncio.run(step())
    assert rank.seen_ids() == [[0], [1], [2, 3, 4]] * 3
    assert [stats.loss for stats in group_stats] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [stats.clip_fraction for stats in group_stats] == [0.25] * 5
    assert (step_stats.grad_norm, step_stats.busy_s, step_stats.num_tokens) == (1.0, (6.0,), 30)
    assert step_stats.seconds == pytest.approx(0.3)


def test_demonstrations_are_dealt_by_length_and_answered_in_order() -> None:
    lengths = [2, 6, 4]
    lessons = [
        Lesson(
            demonstration=Demonstration(idx=idx, video="a.mp4", prompt="", target_ids=(1,)),
            clip=f"clip of {idx}",  # type: ignore[arg-type]
            num_prompt_tokens=length,
        )
        for idx, length in enumerate(lengths)
    ]

    async def step() -> tuple[list[DemonstrationStats], StepStats]:
        return await gang_of([RecordingRank(), RecordingRank()]).learn_supervised(lessons)

    stats, _ = asyncio.run(step())
    assert [(one.loss, one.num_tokens) for one in stats] == [(0, 3), (1, 3), (2, 3)]


def test_a_failure_is_told_at_the_end_of_the_step_and_only_there() -> None:
    complaints: list[dict[str, Any]] = []

    async def step(*, given_up: bool) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        learning = await gang_of([RecordingRank()], micro_batch_tokens=1).begin_step(TOTALS)
        for rollout in [rollout_of(13, 5), rollout_of(13, 4), *ROLLOUTS[2:]]:
            learning.add(rollout)
            await asyncio.sleep(0.01)
        if not given_up:
            await learning.finish()

    with pytest.raises(DivergedError, match="the group of sample 13"):
        asyncio.run(step(given_up=False))
    asyncio.run(step(given_up=True))
    gc.collect()
    assert complaints == []


def test_a_rank_that_never_answers_ends_at_the_deadline_that_is_named() -> None:
    class HungCall:
        def remote(self) -> asyncio.Future[StepStats]:
            return asyncio.get_running_loop().create_future()

    async def learn_with_a_hung_rank() -> None:
        rank = RecordingRank()
        rank.step = HungCall()  # type: ignore[assignment]
        learning = await gang_of([rank], timeout_s=0.1).begin_step(TOTALS)
        for rollout in ROLLOUTS:
            learning.add(rollout)
        await learning.finish()

    with pytest.raises(DeadlineError, match=r"learner\.timeout_s"):
        asyncio.run(learn_with_a_hung_rank())


def test_a_gang_out_of_memory_halves_its_micro_batches_once() -> None:
    rank = RecordingRank()
    gang = gang_of([rank], micro_batch_tokens=16)

    async def step() -> None:
        learning = await gang.begin_step(TOTALS)
        for rollout in ROLLOUTS:
            learning.add(rollout)
        await learning.finish()

    asyncio.run(step())
    assert rank.seen_ids() == [[0, 1], [2, 3, 4]]
    assert "micro-batches of at most 16 tokens; from now on of 8: learner.micro_batch_tokens=8" in str(
        gang.spare_memory()
    )
    rank.seen.clear()
    asyncio.run(step())
    assert rank.seen_ids() == [[0], [1], [2, 3], [4]]
    with pytest.raises(ModelError, match="also with micro-batches of at most 8 tokens"):
        gang.spare_memory()
