"""A gang of real DeepSpeed ranks that goes over from one phase to the next, against gangs that began there."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from actors.learner import LearnerWorker, StepStats
from actors.phase_start import PhaseStart
from museg.config.phases import phases_of
from museg.config.schema import Config, PhaseConfig
from tests.actors.learner.conftest import Batch, Gang, Weights, largest_difference
from tests.actors.learner.test_worker import EVEN

pytestmark = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[(1, 0), pytest.param((2, 3), marks=pytest.mark.thorough)],
    ids=lambda p: f"{p[0]}-ranks-zero-{p[1]}",
)
def gang(request: pytest.FixtureRequest, local_ray: None, make_config: Callable[..., Config]) -> Iterator[Gang]:
    ranks, zero_stage = request.param
    gang = Gang(make_config(ranks=ranks, zero_stage=zero_stage))
    yield gang
    gang.stop()


def starts(config: Config, phases: list[PhaseConfig], policy: Path, reference: Path) -> list[PhaseStart]:
    whole = replace(config, phases=phases)
    return [PhaseStart(phase=phase, policy=policy, reference=reference) for phase in phases_of(whole)]


def two_steps(gang: Gang, batch: Batch) -> tuple[list[StepStats], Weights]:
    ranks = gang.config.learner.ranks
    stats = [gang.train_step(batch, EVEN[ranks])[1] for _ in range(2)]
    return [replace(one, seconds=0.0, busy_s=()) for one in stats], gang.weights()


def live_bytes(worker: LearnerWorker) -> int:
    """Of all tensors in a rank's process."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_a_phase_that_restarts_repeats_what_a_new_gang_does_from_the_same_weights(
    gang: Gang, batch: Batch, model_folder: Path, tmp_path: Path
) -> None:
    stats, weights = two_steps(gang, batch)
    gang.on_all("save_hf", tmp_path / "hf")
    entries = [PhaseConfig(name="a", steps=2), PhaseConfig(name="b", steps=20)]
    _, again = starts(gang.config, entries, policy=model_folder, reference=model_folder)
    gang.on_all("begin_phase", again)
    stats_again, weights_again = two_steps(gang, batch)
    assert stats_again == stats
    assert largest_difference(weights_again, weights) == 0.0
    in_use = ray.get([rank.__ray_call__.remote(live_bytes) for rank in gang.ranks])
    # From what the first two steps left, which is also the reference: nothing has diverged from it yet.
    _, onward = starts(gang.config, entries, policy=tmp_path / "hf", reference=tmp_path / "hf")
    gang.on_all("begin_phase", onward)
    assert largest_difference(gang.weights(), weights) == 0.0
    group_stats, step_stats = gang.train_step(batch, EVEN[gang.config.learner.ranks])
    assert [one.kl for one in group_stats] == [0.0] * 4
    assert (step_stats.step, step_stats.lr) == (1, gang.config.learner.lr)
    # Neither the policy nor the reference of the phase before is still there. (Exporting puts ZeRO-3's shards away.)
    gang.weights()
    in_use_now = ray.get([rank.__ray_call__.remote(live_bytes) for rank in gang.ranks])
    assert in_use_now == pytest.approx(in_use, rel=0.05)


def test_a_phase_that_goes_on_keeps_optimizer_and_schedule_and_holds_on_to_its_reference(
    gang: Gang, batch: Batch, model_folder: Path, tmp_path: Path
) -> None:
    entries = [PhaseConfig(name="a", steps=2), PhaseConfig(name="b", steps=2, restart=False)]
    first, second = starts(gang.config, entries, policy=model_folder, reference=model_folder)
    whole, _ = starts(gang.config, [PhaseConfig(name="a", steps=4)] * 2, policy=model_folder, reference=model_folder)
    gang.on_all("begin_phase", whole)
    two_steps(gang, batch)
    stats, weights = two_steps(gang, batch)
    gang.on_all("begin_phase", first)
    two_steps(gang, batch)
    gang.on_all("save_hf", tmp_path / "hf")
    gang.on_all("begin_phase", second)
    stats_again, weights_again = two_steps(gang, batch)
    assert stats_again == stats
    assert [one.step for one in stats_again] == [3, 4]
    assert largest_difference(weights_again, weights) == 0.0
