"""Publications of a learner's weights to generators, beside a plain copy of as many bytes in memory."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from transformers import GenerationConfig as TextGenerationConfig
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from actors.cluster import ray_session
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.generation import INTAKE, GeneratedGroup, GenerationRequest, GenerationWorker, generation_options
from actors.learner.placement import learner_options
from actors.learner.worker import LearnerWorker
from actors.weight_sync.buckets import pack
from actors.weight_sync.publisher import SyncStats, WeightPublisher
from museg.benchmarks.timing import ratio, side_by_side
from museg.config.choices import DType
from museg.config.schema import (
    Config,
    DataConfig,
    GenerationConfig,
    LearnerConfig,
    ModelConfig,
    RunConfig,
    SyncConfig,
)
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import completion_logprobs
from museg.policy.packing import pack_groups
from museg.rollout.completions import SamplingSettings
from museg.tiny_model.architecture import build_processor, model_config, save_model
from museg.video.clip import VideoClip

_PROMPT = "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When?<|im_end|>\n<|im_start|>assistant\n"
_START_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncShape:
    """A model in float32 and how it travels."""

    hidden_size: int
    """In multiples of 64; heads of 64 with four times as many queries as keys, as in the 3B model."""
    num_layers: int
    bucket_mib: int
    generators: int
    zero_stage: int
    repeats: int
    seed: int


def measure_sync(shape: SyncShape, work: Path) -> dict[str, object]:
    """Publish the weights of a learner's one rank again and again; `work` is an empty folder.

    Generators start with other weights than the learner's: `logprob_gap`, the largest difference between logprobs of
    a generator after the last publication and those of the learner's weights, shows that these have arrived.
    """
    torch.set_num_threads(1)
    held, published = (_model_folder(work / str(age), shape, seed=shape.seed + age) for age in (0, 1))
    config = _config(shape, published)
    with ray_session(config), _actors(config, held) as (learner, generators):
        publisher = WeightPublisher([Seat.of(learner)], [Seat.of(generator) for generator in generators], config.sync)
        stats: list[SyncStats] = []

        def sync() -> None:
            stats.append(asyncio.run(publisher.publish(len(stats) + 1)))

        sync()
        memcpy = _memcpy(stats[0].num_bytes)
        timings = side_by_side({"sync": sync, "memcpy": memcpy}, repeats=shape.repeats)
        gaps = [_logprob_gap(published, group) for group in _samples(generators, shape.seed)]
    alone = side_by_side({"prepack": _prepack(published), "memcpy": memcpy}, repeats=shape.repeats)
    return {
        "num_bytes": stats[0].num_bytes,
        **timings["sync"].figures("sync"),
        **timings["memcpy"].figures("memcpy"),
        "ratio_vs_memcpy": ratio(timings["sync"], timings["memcpy"]),
        "prepack_vs_memcpy": ratio(alone["prepack"], alone["memcpy"]),
        "gb_per_s": statistics.median(one.gb_per_s for one in stats[-shape.repeats :]),
        "logprob_gap": max(gaps),
    }


def _memcpy(num_bytes: int) -> Callable[[], object]:
    source = torch.ones(num_bytes // 4)
    copy = torch.ones_like(source)
    return lambda: copy.copy_(source)


def _prepack(model: Path) -> Callable[[], object]:
    """What packs the model's matrices one after the other as vLLM does, in this process: what no sync can do without.

    They lie as they do in the learner's buckets, in rows of an odd number of cache lines.
    """
    # Here, since the generators' processes have to set their environment before vLLM is imported.
    from vllm._custom_ops import CPUDNNLGEMMHandler, create_onednn_mm

    policy = load_policy(model, dtype=torch.float32, gradient_checkpointing=False)
    bucket = pack([*policy.named_parameters()])
    matrices = [weight for _, weight in bucket.parameters() if weight.dim() == 2]
    packed: list[CPUDNNLGEMMHandler | None] = [None] * len(matrices)

    def prepack() -> None:
        for index, weight in enumerate(matrices):
            # The old one goes first, as it does in a generator: its memory is then used for the new.
            packed[index] = None
            packed[index] = create_onednn_mm(weight.t(), 32)

    return prepack


def _config(shape: SyncShape, model: Path) -> Config:
    return Config(
        run=RunConfig(name="bench-weights"),
        seed=shape.seed,
        model=ModelConfig(path=str(model), dtype=DType.float32),
        data=DataConfig(train="none"),
        generation=GenerationConfig(workers=shape.generators, max_model_len=256, kv_cache_gib=0.125),
        learner=LearnerConfig(zero_stage=shape.zero_stage),
        sync=SyncConfig(bucket_mib=shape.bucket_mib),
    )


@contextmanager
def _actors(config: Config, held: Path) -> Iterator[tuple[ActorHandle, list[ActorHandle]]]:
    """A connected learner with the configuration's model, and generators that start with another."""
    learner = as_actor(LearnerWorker).options(**learner_options(config, 0, config.run.name)).remote(config, 0)
    of_generators = Config(**{**vars(config), "model": ModelConfig(path=str(held), dtype=DType.float32)})
    generators = [
        as_actor(GenerationWorker, INTAKE)
        .options(**generation_options(of_generators, rank, config.run.name))
        .remote(of_generators, rank)
        for rank in range(config.generation.workers)
    ]
    try:
        address, port = ray.get(learner.rendezvous_address.remote(), timeout=_START_TIMEOUT_S)
        starting = [learner.connect.remote(address, port), *(generator.ready.remote() for generator in generators)]
        ray.get(starting, timeout=_START_TIMEOUT_S)
        yield learner, generators
    finally:
        for actor in (learner, *generators):
            ray.kill(actor)


def _model_folder(folder: Path, shape: SyncShape, *, seed: int) -> Path:
    """A random model in the 3B model's proportions, but for its small vocabulary."""
    processor = build_processor()
    config: Qwen2_5_VLConfig = model_config(processor.tokenizer)
    text, vision, hidden = config.text_config, config.vision_config, shape.hidden_size
    text.hidden_size, text.intermediate_size = hidden, 11 * hidden // 4
    text.num_attention_heads, text.num_key_value_heads = hidden // 64, max(1, hidden // 256)
    text.num_hidden_layers = text.max_window_layers = shape.num_layers
    text.layer_types = ["full_attention"] * shape.num_layers
    text.rope_parameters["mrope_section"] = [8, 12, 12]
    text.initializer_range = vision.initializer_range = 0.02
    vision.hidden_size, vision.intermediate_size = hidden // 2, 11 * hidden // 8
    vision.num_heads, vision.out_hidden_size = hidden // 128 or 1, hidden
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = TextGenerationConfig(eos_token_id=processor.tokenizer.eos_token_id)
    save_model(model, processor, folder)
    return folder


def _samples(generators: list[ActorHandle], seed: int) -> list[GeneratedGroup]:
    sampling = SamplingSettings(num_completions=2, temperature=1.0, top_p=1.0, max_tokens=8)
    request = GenerationRequest(key=0, prompt=_PROMPT, clip=_clip(), seed=seed, sampling=sampling)
    streams = [generator.generate.options(num_returns="streaming").remote([request]) for generator in generators]
    return [ray.get(next(stream)) for stream in streams]


def _logprob_gap(model: Path, group: GeneratedGroup) -> float:
    encoder = PromptEncoder.from_folder(model, dtype=torch.float32)
    policy = load_policy(model, dtype=torch.float32, gradient_checkpointing=False)
    completions = [completion.token_ids for completion in group.completions]
    packed = pack_groups([(encoder.encode(_PROMPT, _clip()), completions)])
    with torch.no_grad():
        (scored,) = completion_logprobs(
            policy, packed, temperature=1.0, forbidden_token_ids=vision_token_ids(encoder.tokenizer)
        )
    sampled = torch.tensor([value for completion in group.completions for value in completion.logprobs])
    return float((scored.logprobs[scored.mask] - sampled).abs().max())


def _clip() -> VideoClip:
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 84, 3), dtype=np.uint8)
    return VideoClip(
        video="noise.mp4",
        frames=frames,
        frame_times_s=np.arange(4) / 2.0,
        sample_fps=2.0,
        duration_s=2.0,
        native_fps=8.0,
        num_native_frames=16,
    )
