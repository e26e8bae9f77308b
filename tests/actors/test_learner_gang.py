from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.cluster import DeadlineError
from actors.learner.stats import GroupStats, StepStats
from actors.learner_gang import LearnerGang
from museg.data.samples import Sample
from museg.grpo.aggregation import StepTotals
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group


class Call:
    """A Ray method handle's `.remote(…)`, answered by a plain function."""

    def __init__(self, answer: Callable[..., object]) -> None:
        self.answer = answer

    def remote(self, *arguments: object) -> Awaitable[object]:
        async def value() -> object:
            return self.answer(*arguments)

        return value()


class RecordingRank:
    """Stands for a learner rank where only the dealing of groups is looked at."""

    def __init__(self) -> None:
        self.seen: list[Group] = []
        self.num_updates = 0
        self.accumulate = Call(self._accumulate)
        self.step = Call(lambda: StepStats(step=1, grad_norm=0.5 * self.num_updates, lr=1e-3, seconds=0.1))

    def _accumulate(self, groups: list[Group], clips: list[str], totals: StepTotals) -> list[GroupStats]:
        assert [f"clip of {group.sample.idx}" for group in groups] == clips
        self.totals = totals
        self.seen += groups
        self.num_updates += 1
        return [stats_of_update(group.sample.idx, self.num_updates) for group in groups]


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


def group_of(idx: int, num_tokens: int) -> Group:
    sample = Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg")
    tokens = tuple(range(num_tokens))
    completion = Completion(
        token_ids=tokens, logprobs=tuple(0.0 for _ in tokens), text="", finish_reason="stop", weights_version=0
    )
    reward = RewardBreakdown(values={}, total=0.0)
    return Group(sample=sample, prompt="", completions=(completion,), rewards=(reward,), advantages=(0.0,))


def test_groups_are_dealt_by_length_answered_in_order_and_shown_without_their_annotation() -> None:
    ranks = [RecordingRank(), RecordingRank()]
    groups = [group_of(idx, num_tokens) for idx, num_tokens in enumerate([3, 9, 1, 7, 5])]
    gang = LearnerGang(ranks, timeout_s=5)  # type: ignore[arg-type]
    clips = [f"clip of {idx}" for idx in range(5)]
    group_stats, step_stats = asyncio.run(gang.learn(groups, clips))
    assert [stats.loss for stats in group_stats] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert step_stats.grad_norm == 0.5
    assert all(rank.totals == StepTotals(num_groups=5, num_completions=5, num_tokens=25) for rank in ranks)
    assert [[group.sample.idx for group in rank.seen] for rank in ranks] == [[1, 4, 2], [3, 0]]
    assert all(group.sample.solution == () for rank in ranks for group in rank.seen)


def test_updates_go_over_the_same_groups_and_a_step_tells_of_the_first_but_for_clipping() -> None:
    rank = RecordingRank()
    gang = LearnerGang([rank], timeout_s=5, updates_per_rollout=3)  # type: ignore[list-item]
    groups = [group_of(idx, num_tokens) for idx, num_tokens in enumerate([3, 9])]
    group_stats, step_stats = asyncio.run(gang.learn(groups, ["clip of 0", "clip of 1"]))  # type: ignore[list-item]
    assert [group.sample.idx for group in rank.seen] == [1, 0] * 3
    assert [stats.loss for stats in group_stats] == [0.0, 1.0]
    assert [stats.clip_fraction for stats in group_stats] == [0.25, 0.25]
    assert step_stats == StepStats(step=1, grad_norm=1.0, lr=1e-3, seconds=pytest.approx(0.3))


def test_a_rank_that_never_answers_ends_at_the_deadline_that_is_named() -> None:
    async def learn_with_a_hung_rank() -> None:
        rank = RecordingRank()
        hung: asyncio.Future[StepStats] = asyncio.get_running_loop().create_future()
        rank.step.remote = lambda *_: hung  # type: ignore[method-assign]
        await LearnerGang([rank], timeout_s=0.1).learn([group_of(0, 1)] * 5, ["clip of 0"] * 5)  # type: ignore[arg-type,list-item]

    with pytest.raises(DeadlineError, match=r"learner\.timeout_s"):
        asyncio.run(learn_with_a_hung_rank())
