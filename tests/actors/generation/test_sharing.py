"""What an engine computes once, what it lets go of, and in which order it starts groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pytest
import ray
import torch
from ray.actor import ActorHandle

from actors.faults.watched import as_actor
from actors.generation import INTAKE, GeneratedGroup, GenerationRequest, GenerationWorker, generation_options
from museg.config.schema import Config
from museg.policy.inputs import PromptEncoder
from museg.policy.loading import load_policy
from museg.policy.patches import Patcher
from museg.policy.vision import VisionTower
from tests.actors.material import PROMPT, largest_gap, noisy_clip, request, run_config, sampled_logprobs

pytestmark = pytest.mark.slow

MAX_SEQUENCES = 6
BLOCK_TOKENS = 32


class Held(NamedTuple):
    """What of videos and requests an engine holds."""

    tower_outputs: int
    accounted_outputs: int
    runner_requests: int
    scheduler_requests: int


@dataclass
class Trace:
    """What an engine did for a call of `generate`."""

    groups: list[GeneratedGroup] = field(default_factory=list)
    tower_patches: list[int] = field(default_factory=list)
    """Patches of each of the tower's calls."""
    num_videos_before: list[int] = field(default_factory=list)
    """Videos that the tower had seen when each group came."""
    num_tokens: int = 0
    """Tokens that the language model computed."""
    most_outputs: int = 0
    """Videos whose outputs lay in the engine at once."""


class ProbedWorker(GenerationWorker):
    """A generation worker that counts what its engine computes."""

    def __init__(self, config: Config, rank: int) -> None:
        super().__init__(config, rank)
        core = self.engine._engine.engine_core.engine_core
        self.scheduler, self.runner = core.scheduler, core.model_executor.driver_worker.worker.model_runner
        self.trace = Trace()
        self.runner.model.visual.register_forward_pre_hook(self._tower_called, with_kwargs=True)
        self.runner.model.language_model.model.layers[0].register_forward_hook(self._layer_called)

    def traced(self, requests: Sequence[GenerationRequest]) -> Trace:
        """What it takes to answer the requests, with nothing cached from before."""
        self.engine._engine.reset_prefix_cache()
        trace = self.trace = Trace()
        for group in self.generate(requests):
            trace.groups.append(group)
            trace.num_videos_before.append(len(trace.tower_patches))
        return trace

    def held(self) -> Held:
        """What lies in the engine now."""
        return Held(
            len(self.runner.encoder_cache),
            len(self.scheduler.encoder_cache_manager.cached),
            len(self.runner.requests),
            len(self.scheduler.requests),
        )

    def first_group_only(self, requests: Sequence[GenerationRequest]) -> GeneratedGroup:
        """Stop listening after the first group."""
        groups = self.generate(requests)
        group = next(groups)
        groups.close()
        return group

    def _tower_called(self, module: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, object]) -> None:
        self.trace.tower_patches += [times * height * width for times, height, width in kwargs["grid_thw"]]

    def _layer_called(self, module: torch.nn.Module, args: object, output: tuple[torch.Tensor, ...]) -> None:
        self.trace.num_tokens += output[0].shape[0]
        self.trace.most_outputs = max(self.trace.most_outputs, len(self.runner.encoder_cache))


@pytest.fixture(scope="module")
def model(models: dict[str, Path]) -> Path:
    return models["untied-old"]


@pytest.fixture(scope="module")
def worker(local_ray: None, model: Path) -> ActorHandle:
    config = run_config(model)
    config.policy.freeze_vision = True
    config.generation.max_sequences = MAX_SEQUENCES
    worker = as_actor(ProbedWorker, INTAKE).options(**generation_options(config, 0, config.run.name)).remote(config, 0)
    assert ray.get(worker.ready.remote(), timeout=180)
    return worker


def traced(worker: ActorHandle, requests: Sequence[GenerationRequest]) -> Trace:
    return ray.get(worker.traced.remote(requests))


def num_prefilled(trace: Trace) -> int:
    """Tokens computed beside those that a completion's next token needed."""
    completions = [completion for group in trace.groups for completion in group.completions]
    return trace.num_tokens - sum(len(completion.token_ids) - 1 for completion in completions)


# With ten frames the video ends in the prompt's last block, which every completion's sequence computes for itself.
@pytest.mark.parametrize("num_frames", [8, 10])
@pytest.mark.parametrize("num_completions", [4, 8])
def test_a_group_runs_the_tower_once_and_its_prompt_once_but_for_the_last_block(
    worker: ActorHandle, model: Path, num_frames: int, num_completions: int
) -> None:
    clip = noisy_clip(0, num_frames=num_frames)
    num_prompt_tokens = PromptEncoder.from_folder(model, dtype=torch.float32).encode(PROMPT, clip).num_tokens
    trace = traced(worker, [request(0, clip, num_completions=num_completions)])
    shared = (num_prompt_tokens - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    assert len(trace.tower_patches) == 1
    assert num_prefilled(trace) == shared + num_completions * (num_prompt_tokens - shared)


def test_groups_about_one_video_share_the_tower_side_by_side_and_attention_states_later(worker: ActorHandle) -> None:
    one, other = noisy_clip(0), noisy_clip(1)
    side_by_side = traced(worker, [request(0, one), request(1, one), request(2, other)])
    apart = traced(worker, [request(0, one), request(1, other), request(2, other), request(3, one)])
    assert len(side_by_side.tower_patches) == len(apart.tower_patches) == 2


def test_a_video_whose_states_are_needed_again_after_others_runs_the_tower_again(worker: ActorHandle) -> None:
    one, other = noisy_clip(0, num_frames=10), noisy_clip(1)
    trace = traced(worker, [request(0, one), request(1, other), request(2, other), request(3, one)])
    assert len(trace.tower_patches) == 3


def test_groups_start_in_the_order_of_the_requests_and_the_first_come_before_the_last_start(
    worker: ActorHandle,
) -> None:
    clips = [noisy_clip(key, num_frames=4 + 2 * key) for key in range(6)]
    trace = traced(worker, [request(key, clip, num_completions=2, max_tokens=16) for key, clip in enumerate(clips)])
    assert trace.tower_patches == sorted(trace.tower_patches)
    assert len(trace.tower_patches) == 6
    assert trace.num_videos_before[0] < 6
    assert {group.key for group in trace.groups} == set(range(6))


def test_no_more_outputs_of_the_tower_are_kept_than_running_prompts_need(worker: ActorHandle) -> None:
    trace = traced(worker, [request(key, noisy_clip(key), num_completions=MAX_SEQUENCES) for key in range(5)])
    assert len(trace.tower_patches) == 5
    # The video at work, and the one before until vLLM's next step.
    assert trace.most_outputs <= 2


def test_nothing_of_a_video_stays_after_the_last_group_or_when_nobody_listens(worker: ActorHandle) -> None:
    requests = [request(key, noisy_clip(key)) for key in range(4)]
    traced(worker, requests)
    assert ray.get(worker.held.remote()) == Held(0, 0, 0, 0)
    first = ray.get(worker.first_group_only.remote(requests))
    assert ray.get(worker.held.remote()) == Held(0, 0, 0, 0)
    (again,) = traced(worker, [requests[first.key]]).groups
    assert again == first


@pytest.mark.parametrize("sample_fps", [2.0, 0.7])
def test_embeddings_stand_for_pixels_without_the_tower(worker: ActorHandle, model: Path, sample_fps: float) -> None:
    policy = load_policy(model, dtype=torch.float32, gradient_checkpointing=False)
    clip = noisy_clip(3, sample_fps=sample_fps)
    embedded = VisionTower.taken_from(policy, Patcher.from_folder(model)).embed(clip)
    asked = request(0, clip, num_completions=8)
    pixels, embeddings = traced(worker, [asked]), traced(worker, [replace(asked, clip=embedded)])
    assert (len(pixels.tower_patches), len(embeddings.tower_patches)) == (1, 0)
    assert [c.token_ids for c in embeddings.groups[0].completions] == [
        c.token_ids for c in pixels.groups[0].completions
    ]
    assert sampled_logprobs(embeddings.groups) == pytest.approx(sampled_logprobs(pixels.groups), abs=1e-5)
    assert largest_gap(model, embeddings.groups[0], clip) <= 1e-4
