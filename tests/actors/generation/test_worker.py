"""A generation worker with a real vLLM engine, in a real Ray actor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
import torch
from ray.actor import ActorHandle
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from actors.faults.watched import as_actor
from actors.generation import INTAKE, GeneratedGroup, GenerationRequest, GenerationWorker, generation_options
from actors.weight_sync.buckets import pack
from museg.errors import ConfigError, ModelError
from museg.policy.inputs import PromptEncoder, vision_token_ids
from tests.actors.conftest import StartGenerator
from tests.actors.material import (
    CONTEXT,
    PROMPT,
    largest_gap,
    noisy_clip,
    request,
    run_config,
    sampled_logprobs,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(models: dict[str, Path]) -> Path:
    return models["untied-old"]


@pytest.fixture(scope="module")
def worker(start_generator: StartGenerator, model: Path) -> ActorHandle:
    worker = start_generator(model, 0)
    assert ray.get(worker.ready.remote(), timeout=180)
    return worker


def generate(worker: ActorHandle, requests: Sequence[GenerationRequest]) -> list[GeneratedGroup]:
    return [ray.get(ref) for ref in worker.generate.options(num_returns="streaming").remote(requests)]


def test_groups_come_as_they_finish_whole_and_under_their_keys(worker: ActorHandle) -> None:
    clip = ray.put(noisy_clip(0))
    long, short = request(7, noisy_clip(1), max_tokens=64), replace(request(3, noisy_clip(0), max_tokens=2), clip=clip)
    groups = generate(worker, [long, short])
    assert [group.key for group in groups] == [3, 7]
    assert [len(group.completions) for group in groups] == [4, 4]


def test_completions_end_in_a_stop_token_or_at_the_limit(worker: ActorHandle, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    stops = set(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    requests = [request(key, noisy_clip(key), num_completions=8, max_tokens=100) for key in range(8)]
    completions = [completion for group in generate(worker, requests) for completion in group.completions]
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}
    for completion in completions:
        assert (completion.token_ids[-1] in stops) == (completion.finish_reason == "stop")
        assert not stops & set(completion.token_ids[:-1])
        assert len(completion.token_ids) == 100 or completion.finish_reason == "stop"
        assert len(completion.logprobs) == len(completion.token_ids)
        assert completion.text == tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        assert completion.weights_version == 0


def test_logprobs_are_the_learners(worker: ActorHandle, model: Path) -> None:
    clip = noisy_clip(5)
    (group,) = generate(worker, [request(0, clip)])
    assert largest_gap(model, group, clip) <= 1e-4


def test_the_same_seeds_give_the_same_tokens_and_logprobs_in_another_batch(worker: ActorHandle) -> None:
    requests = [request(key, noisy_clip(key), num_completions=8) for key in range(6)]
    together = {group.key: group for group in generate(worker, requests)}
    reversed_order = {group.key: group for group in generate(worker, requests[::-1])}
    alone = {group.key: group for one in requests for group in generate(worker, [one])}
    assert together == reversed_order == alone
    assert len({completion.token_ids for completion in together[0].completions}) == 8


def test_at_temperature_0_the_likeliest_token_is_taken(worker: ActorHandle, model: Path) -> None:
    clip = noisy_clip(2)
    greedy = request(0, clip, num_completions=1, temperature=0.0)
    (group,) = generate(worker, [greedy])
    assert generate(worker, [replace(greedy, seed=9)]) == [group]
    assert largest_gap(model, group, clip, temperature=1.0) <= 1e-4
    sampled = generate(worker, [request(0, clip, num_completions=8, temperature=1.0, max_tokens=1)])
    assert all(value <= group.completions[0].logprobs[0] + 1e-5 for value in sampled_logprobs(sampled))


def test_an_overlong_prompt_is_refused_by_name_and_the_worker_goes_on(worker: ActorHandle, model: Path) -> None:
    fits, long = noisy_clip(0), noisy_clip(4, num_frames=80)
    num_tokens = PromptEncoder.from_folder(model, dtype=torch.float32).encode(PROMPT, long).num_tokens
    with pytest.raises(ModelError, match=rf"noise-4\.mp4 has {num_tokens} tokens, .*max_model_len \({CONTEXT}\)"):
        generate(worker, [request(0, fits), request(1, long)])
    room = CONTEXT - prompt_length(model)
    (group,) = generate(worker, [request(0, fits, max_tokens=CONTEXT, num_completions=8)])
    assert max(len(completion.token_ids) for completion in group.completions) <= room
    assert all(len(c.token_ids) == room for c in group.completions if c.finish_reason == "length")
    with pytest.raises(ModelError, match=r"noise-0\.mp4"):
        generate(worker, [replace(request(0, fits), prompt=PROMPT.replace("happen", "happen " * 2 * CONTEXT))])


def prompt_length(model: Path) -> int:
    return PromptEncoder.from_folder(model, dtype=torch.float32).encode(PROMPT, noisy_clip(0)).num_tokens


def test_vision_tokens_are_never_sampled_however_likely(worker: ActorHandle, model: Path) -> None:
    forbidden = vision_token_ids(AutoTokenizer.from_pretrained(model))
    policy = Qwen2_5_VLForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        # One direction that every position has, and that the head reads as a vision token.
        policy.model.language_model.embed_tokens.weight[:, 0] = 10.0
        policy.lm_head.weight[list(forbidden), 0] = 10.0
        likely = policy(input_ids=torch.tensor([[5, 6, 7]])).logits.softmax(-1)[..., list(forbidden)].sum(-1)
    assert likely.min() > 0.999
    ray.get([worker.begin_weight_update.remote(), worker.load_weight_bucket.remote(pack([*policy.named_parameters()]))])
    ray.get(worker.finish_weight_update.remote(1))
    for temperature, num_completions in ((0.0, 1), (1.0, 8)):
        groups = generate(worker, [request(0, noisy_clip(0), temperature=temperature, num_completions=num_completions)])
        tokens = {token for group in groups for completion in group.completions for token in completion.token_ids}
        assert not tokens & set(forbidden)
        assert all(value > -20 for value in sampled_logprobs(groups))


def test_a_worker_is_found_under_the_runs_name(worker: ActorHandle) -> None:
    assert ray.get_actor("museg/test/generation-0") == worker


def test_nothing_lies_about_that_a_worker_would_leave_if_it_were_killed(worker: ActorHandle) -> None:
    pid = ray.get(worker.__ray_call__.remote(lambda _: os.getpid()))
    born_s = psutil.Process(pid).create_time()
    files = Path(tempfile.gettempdir()).glob("*")
    made = [file.name for file in files if file.name.startswith(("vllm", "museg")) and file.stat().st_mtime >= born_s]
    assert made == []


def test_settings_that_the_engine_refuses_are_a_users_error(local_ray: None, model: Path) -> None:
    config = run_config(model)
    config.run.name = "refused"
    config.generation.max_model_len = 5000
    refused = (
        as_actor(GenerationWorker, INTAKE).options(**generation_options(config, 0, config.run.name)).remote(config, 0)
    )
    with pytest.raises(ConfigError) as raised:
        ray.get(refused.ready.remote(), timeout=180)
    assert str(raised.value.cause).startswith(
        f"vLLM can't run {model} with generation.max_model_len 5000 and generation.kv_cache_gib 0.125: "
        "User-specified max_model_len (5000) is greater than the derived max_model_len"
    )
