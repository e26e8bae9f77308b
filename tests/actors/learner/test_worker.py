"""Gangs of real DeepSpeed ranks in real Ray actors, against a plain torch loop over the same groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from actors.learner import LearnerWorker
from actors.learner.stats import SkipReason
from museg.config.schema import Config
from museg.errors import ModelError
from museg.grpo.aggregation import StepTotals
from museg.grpo.losses import grpo_loss
from museg.grpo.variants import loss_settings
from tests.actors.learner.conftest import Batch, Gang, Shares, Weights, at_start, largest_difference, running_from
from tests.actors.learner.plain import PlainLearner

pytestmark = pytest.mark.slow

EVEN: dict[int, Shares] = {1: [[[0, 1, 2, 3]]], 2: [[[0, 1]], [[2, 3]]]}
OTHERWISE: dict[int, Sequence[Shares]] = {
    1: ([[[3], [2], [1], [0]]], [[[2], [3, 0, 1]]], [[[0, 1, 2], [3]]]),
    2: ([[[0, 1], [2], [3]], []], [[[2]], [[0], [3, 1]]], [[], [[0, 1, 2, 3]]]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun:
    """Three steps without DeepSpeed."""

    weights: Weights
    losses: tuple[tuple[float, ...], ...]
    kls: tuple[tuple[float, ...], ...]
    grad_norms: tuple[float, ...]
    first_logprobs: tuple[tuple[tuple[float, ...], ...], ...]
    """Of every token under the starting weights: group, completion, token."""


@pytest.fixture(scope="session")
def plain_run(make_config: Callable[..., Config], batch: Batch) -> PlainRun:
    """The definition of the gradient: the mean of all groups' losses, backwards once."""
    config = make_config(ranks=1, zero_stage=0)
    learner = PlainLearner(config, batch)
    losses, kls, norms, first_logprobs = [], [], [], []
    for step in (1, 2, 3):
        scores = learner.scores()
        results = [
            grpo_loss(
                loss_settings(config),
                logprobs=scored.logprobs,
                mask=scored.mask,
                advantages=torch.tensor(group.advantages),
                totals=StepTotals.of([group]),
                reference_logprobs=start,
            )
            for group, scored, start in zip(batch.groups, scores, learner.reference_logprobs(), strict=True)
        ]
        if step == 1:
            for group, scored in zip(batch.groups, scores, strict=True):
                rows = zip(scored.logprobs.tolist(), group.completions, strict=True)
                first_logprobs.append(tuple(tuple(row[: len(c.token_ids)]) for row, c in rows))
        norms.append(learner.apply(torch.stack([result.loss for result in results]).mean(), step))
        losses.append(tuple(float(result.loss.detach()) for result in results))
        kls.append(tuple(float(result.kl) for result in results))
    return PlainRun(
        weights=learner.weights(),
        losses=tuple(losses),
        kls=tuple(kls),
        grad_norms=tuple(norms),
        first_logprobs=tuple(first_logprobs),
    )


@pytest.fixture(
    scope="module",
    params=[(1, 0), (2, 0), pytest.param((2, 1), marks=pytest.mark.thorough), (2, 2), (2, 3)],
    ids=lambda p: f"{p[0]}-ranks-zero-{p[1]}",
)
def running_gang(
    request: pytest.FixtureRequest,
    local_ray: None,
    make_config: Callable[..., Config],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Gang, Path]]:
    ranks, zero_stage = request.param
    yield from running_from(make_config(ranks=ranks, zero_stage=zero_stage), tmp_path_factory.mktemp("start"))


@pytest.fixture
def gang(running_gang: tuple[Gang, Path]) -> Gang:
    return at_start(*running_gang)


def test_three_steps_give_the_weights_of_a_plain_torch_loop(gang: Gang, batch: Batch, plain_run: PlainRun) -> None:
    for step in (1, 2, 3):
        group_stats, step_stats = gang.train_step(batch, EVEN[len(gang.ranks)])
        assert [stats.loss for stats in group_stats] == pytest.approx(plain_run.losses[step - 1], abs=1e-5)
        assert [stats.kl for stats in group_stats] == pytest.approx(plain_run.kls[step - 1], abs=1e-4)
        assert step_stats.grad_norm == pytest.approx(plain_run.grad_norms[step - 1], rel=1e-3)
        assert step_stats.lr == pytest.approx(1e-3 * (21 - step) / 20)
        assert step_stats.step == step
    assert max(plain_run.kls[2]) > 1e-3
    assert largest_difference(gang.weights(), plain_run.weights) < 1e-4


def test_groups_packed_and_dealt_otherwise_give_the_same_weights(gang: Gang, batch: Batch, plain_run: PlainRun) -> None:
    for shares in OTHERWISE[len(gang.ranks)]:
        gang.train_step(batch, shares)
    assert largest_difference(gang.weights(), plain_run.weights) < 1e-4


def test_export_covers_the_hugging_face_parameters_bucket_by_bucket(gang: Gang, model_folder: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder)
    of_ranks = gang.buckets()
    assert all(buckets == [] for buckets in of_ranks[1:])
    assert len(of_ranks[0]) > 1
    assert all(sum(array.nbytes for array in bucket.values()) <= 1024**2 for bucket in of_ranks[0])
    exported = [name for bucket in of_ranks[0] for name in bucket]
    assert sorted(exported) == sorted(name for name, _ in model.named_parameters())
    weights = gang.weights()
    assert all(np.array_equal(weights[name], value.numpy()) for name, value in model.state_dict().items())


def test_neighbours_read_what_steps_and_states_make_of_the_weights(gang: Gang, batch: Batch, tmp_path: Path) -> None:
    before = gang.weights()
    gang.on_all("save_state", tmp_path / "state")
    assert largest_difference(gang.weights_as_neighbours_read_them(), before) == 0.0
    gang.train_step(batch, EVEN[len(gang.ranks)])
    after = gang.weights_as_neighbours_read_them()
    assert largest_difference(after, gang.weights()) == 0.0
    assert largest_difference(after, before) > 1e-4
    gang.on_all("load_state", tmp_path / "state")
    assert largest_difference(gang.weights_as_neighbours_read_them(), before) == 0.0


def test_the_saved_folder_loads_in_transformers_with_the_exported_weights(
    gang: Gang, batch: Batch, tmp_path: Path
) -> None:
    gang.train_step(batch, EVEN[len(gang.ranks)])
    gang.on_all("save_hf", tmp_path / "step" / "hf")
    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "step" / "hf", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    weights = gang.weights()
    assert all(np.array_equal(weights[name], value.numpy()) for name, value in model.state_dict().items())
    assert AutoProcessor.from_pretrained(tmp_path / "step" / "hf").tokenizer.eos_token == "<|im_end|>"


def test_a_resumed_learner_goes_on_bit_for_bit(gang: Gang, batch: Batch, tmp_path: Path) -> None:
    shares = EVEN[len(gang.ranks)]
    gang.train_step(batch, shares)
    gang.on_all("save_state", tmp_path / "state")
    uninterrupted = [gang.train_step(batch, shares) for _ in range(2)]
    weights = gang.weights()
    gang.on_all("load_state", tmp_path / "state")
    resumed = [gang.train_step(batch, shares) for _ in range(2)]
    assert [stats.loss for step in resumed for stats in step[0]] == [
        stats.loss for step in uninterrupted for stats in step[0]
    ]
    assert [(step[1].step, step[1].lr, step[1].grad_norm) for step in resumed] == [
        (step[1].step, step[1].lr, step[1].grad_norm) for step in uninterrupted
    ]
    assert largest_difference(gang.weights(), weights) == 0.0


def test_the_gap_to_the_engine_is_told_by_completion_over_true_tokens(
    gang: Gang, batch: Batch, plain_run: PlainRun
) -> None:
    groups = tuple(
        replace(
            group,
            completions=tuple(
                # The engine's logprobs, but for the first token of each completion.
                replace(completion, logprobs=(logprobs[0] + 0.25, *logprobs[1:]))
                for completion, logprobs in zip(group.completions, rows, strict=True)
            ),
        )
        for group, rows in zip(batch.groups, plain_run.first_logprobs, strict=True)
    )
    group_stats, _ = gang.train_step(Batch(groups=groups, clips=batch.clips), EVEN[len(gang.ranks)])
    for stats, group in zip(group_stats, groups, strict=True):
        lengths = [len(completion.token_ids) for completion in group.completions]
        assert stats.num_tokens == sum(lengths)
        assert stats.logprob_gap_max == pytest.approx(0.25, abs=1e-5)
        assert stats.logprob_gap_mean == pytest.approx(0.25 * len(lengths) / sum(lengths), abs=1e-5)
        assert [gap.mean for gap in stats.completion_gaps] == pytest.approx([0.25 / n for n in lengths], abs=1e-5)
        assert [gap.max for gap in stats.completion_gaps] == pytest.approx([0.25] * len(lengths), abs=1e-5)


def test_an_update_whose_numbers_went_wrong_on_one_rank_leaves_no_trace_on_any(
    gang: Gang, batch: Batch, plain_run: PlainRun
) -> None:
    shares, start = EVEN[len(gang.ranks)], gang.weights()
    first = batch.groups[0]
    infinite = replace(first, advantages=(float("inf"), 0.0, 0.0, 0.0))
    other_policy = replace(
        first, completions=tuple(replace(one, logprobs=(-1e4,) * len(one.token_ids)) for one in first.completions)
    )
    _, skipped = gang.train_step(replace(batch, groups=(other_policy, *batch.groups[1:])), shares)
    assert (skipped.skipped, skipped.step, skipped.grad_norm) == (SkipReason.logprob_gap, 1, 0.0)
    assert largest_difference(gang.weights(), start) == 0.0
    for _ in range(3):
        _, step_stats = gang.train_step(batch, shares)
        assert step_stats.skipped is None
    assert largest_difference(gang.weights(), plain_run.weights) < 1e-4
    learned = gang.weights()
    group_stats, skipped = gang.train_step(replace(batch, groups=(infinite, *batch.groups[1:])), shares)
    assert [stats.finite for stats in group_stats] == [False, True, True, True]
    assert (skipped.skipped, skipped.step, skipped.grad_norm) == (SkipReason.loss, 4, 0.0)
    gang.on_all("__ray_call__", spoil)
    _, skipped = gang.train_step(batch, shares)
    assert (skipped.skipped, skipped.step, skipped.grad_norm) == (SkipReason.gradient, 5, 0.0)
    assert largest_difference(gang.weights(), learned) == 0.0
    _, step_stats = gang.train_step(batch, shares)
    assert (step_stats.step, step_stats.lr) == (6, pytest.approx(1e-3 * 15 / 20))
    assert largest_difference(gang.weights(), learned) > 0.0


def spoil(worker: LearnerWorker) -> None:
    """A gradient that isn't finite, of losses that are."""
    worker.accumulator.spoil()


def test_a_folder_without_this_ranks_state_is_refused(gang: Gang, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no state of learner rank 0 of [12]: resume from a complete checkpoint"):
        ray.get(gang.ranks[0].load_state.remote(tmp_path), timeout=60)
