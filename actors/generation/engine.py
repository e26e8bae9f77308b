"""vLLM in this process: prompts with clips in, groups of completions out, and new weights in between."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal

import ray
from vllm import LLMEngine, RequestOutput, SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.inputs import EngineInput
from vllm.outputs import CompletionOutput
from vllm.renderers.inputs.preprocess import parse_model_prompt
from vllm.sampling_params import RequestOutputKind

from actors.generation.engine_start import start_engine
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.weight_sync.object_store import missing_parameters
from museg.config.schema import Config
from museg.errors import ModelError
from museg.policy.inputs import engine_video_input, vision_token_ids
from museg.policy.vision import EmbeddedVideo
from museg.rollout.completions import Completion
from museg.video.clip import VideoClip

_FINISH_REASONS: Final[Mapping[str, Literal["stop", "length"]]] = {"stop": "stop", "length": "length"}


class SamplingEngine:
    """One vLLM engine and the version of the weights in it."""

    def __init__(self, config: Config) -> None:
        """Load `model.path`, as weights version 0.

        Raises:
            ModelError: the folder isn't a complete Qwen2.5-VL model.
            ConfigError: vLLM refuses the combination of settings.
        """
        self.weights_version = 0
        # What has been imported stays: without it, vLLM's own collections while it starts are ten times as fast.
        gc.freeze()
        self._engine: LLMEngine = start_engine(config)
        self._tokenizer = self._engine.get_tokenizer()
        self._forbidden = dict.fromkeys(vision_token_ids(self._tokenizer), -math.inf)
        self._context = config.generation.max_model_len
        self._max_sequences = config.generation.max_sequences
        self._request_ids = itertools.count()
        self._session_open = False
        self._whole = True
        # Prefixes of parameters that no update brings.
        self._constant = ("visual.",) if config.policy.freeze_vision else ()

    def generate(self, requests: Iterable[GenerationRequest | None]) -> Iterator[GeneratedGroup]:
        """Yield one group per request, in the order in which they finish. Requests carry their clips, no references.

        They start in their own order. One is taken from `requests`, and its video processed, no earlier than there is
        room for a sequence; nothing of a video stays when the last group has come. None among them: there is none at
        present. It asks again after its next step, and ends when it has nothing else to do.

        Raises:
            ModelError: a prompt fills the whole context.
        """
        if not self._whole:
            raise RuntimeError(f"weights version {self.weights_version} is being replaced: finish_weight_update first")
        upcoming, running = iter(requests), dict[str, int]()
        try:
            self._start(upcoming, running)
            while running:
                for output in self._engine.step():
                    yield self._group(running.pop(output.request_id), output)
                self._start(upcoming, running)
        finally:
            # Whoever stopped listening, or failed, leaves an idle engine.
            self._engine.abort_request(list(running))
            self._engine.reset_encoder_cache()
            # Only with its next step does vLLM let go of the requests that finished in the last one.
            self._engine.step()

    def init_weight_transfer(self, init_info: Mapping[str, object]) -> None:
        """Prepare vLLM's weight transfer engine, as its backend asks for."""
        self._on_workers("init_weight_transfer_engine", init_info=dict(init_info))

    def begin_weight_update(self) -> None:
        """Lay the model out for new weights. An update that was never finished is given up."""
        if self._session_open:
            # Where a part couldn't be taken, vLLM has ended the update by itself and refuses to do so again.
            with suppress(RuntimeError):
                self._on_workers("finish_weight_update")
        self._whole, self._session_open = False, True
        self._on_workers("start_weight_update")

    def load_weights(self, update_info: Mapping[str, object]) -> None:
        """Take one part of the new weights, in the form that the transfer backend asks for."""
        self._on_workers("update_weights", update_info=dict(update_info))

    def finish_weight_update(self, version: int) -> None:
        """Switch to the new weights and drop everything that was computed with the old ones.

        Raises:
            RuntimeError: some parameters never came; only a whole update mends that.
        """
        self._on_workers("finish_weight_update")
        self._session_open = False
        missing = set().union(*self._engine.collective_rpc(missing_parameters))
        if missing := {name for name in missing if not name.startswith(self._constant)}:
            raise RuntimeError(f"weights version {version} lacks {len(missing)} parameters, such as {min(missing)}")
        # vLLM keeps all three over an update: attention states, processed videos, outputs of the vision tower.
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("requests are running on the weights that were just replaced")
        self._engine.reset_mm_cache()
        self._engine.reset_encoder_cache()
        self._engine.set_weight_version(str(version))
        self.weights_version, self._whole = version, True

    def _on_workers(self, method: str, **kwargs: object) -> None:
        self._engine.collective_rpc(method, kwargs=kwargs)

    def _start(self, upcoming: Iterator[GenerationRequest | None], running: dict[str, int]) -> None:
        while self._engine.get_num_unfinished_requests() < self._max_sequences:
            request = next(upcoming, None)
            if request is None:
                return
            running[self._add(request)] = request.key

    def _add(self, request: GenerationRequest) -> str:
        assert not isinstance(request.clip, ray.ObjectRef)
        request_id = str(next(self._request_ids))
        rendered = self._render(request.prompt, request.clip)
        sampling = request.sampling
        room = self._room_after(request.clip, len(rendered["prompt_token_ids"]))
        parameters = SamplingParams(
            n=sampling.num_completions,
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_tokens, room),
            logit_bias=self._forbidden,
            # The sampled token's own, without any others.
            logprobs=0,
            flat_logprobs=True,
            # Text is decoded once, at the end.
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._engine.add_request(request_id, rendered, parameters)
        return request_id

    def _render(self, prompt: str, clip: VideoClip | EmbeddedVideo) -> EngineInput:
        parsed = parse_model_prompt(
            self._engine.model_config, {"prompt": prompt, "multi_modal_data": {"video": engine_video_input(clip)}}
        )
        try:
            (rendered,) = self._engine.renderer.render_cmpl([parsed])
        except VLLMValidationError as error:
            raise ModelError(f"the prompt about {clip.video} can't be given to the model: {error}") from error
        return rendered

    def _room_after(self, clip: VideoClip | EmbeddedVideo, num_prompt_tokens: int) -> int:
        """Completion tokens that the context has room for; a completion that reaches its end stops by `length`."""
        if num_prompt_tokens >= self._context:
            raise ModelError(
                f"the prompt about {clip.video} has {num_prompt_tokens} tokens, which leaves no room for a completion "
                f"in generation.max_model_len ({self._context}): raise it, or lower video.total_pixels"
            )
        return self._context - num_prompt_tokens

    def _group(self, key: int, output: RequestOutput) -> GeneratedGroup:
        return GeneratedGroup(key=key, completions=tuple(self._completion(completion) for completion in output.outputs))

    def _completion(self, output: CompletionOutput) -> Completion:
        token_ids = tuple(output.token_ids)
        return Completion(
            token_ids=token_ids,
            logprobs=tuple(output.logprobs.logprobs),
            text=self._tokenizer.decode(token_ids, skip_special_tokens=True),
            finish_reason=_FINISH_REASONS[output.finish_reason],
            weights_version=self.weights_version,
        )
