"""Micro-batches of one rank: forwards and backwards whose gradients add up until the optimizer steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from actors.learner.filler import filler
from actors.learner.lockstep import Lockstep
from actors.learner.micro_batch import PromptCompletions, packed_micro_batch
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.logprobs import CompletionLogprobs, completion_logprobs
from museg.policy.packing import PackedGroups

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from museg.policy.model import PackedPolicy


class Accumulator:
    """Computes micro-batches under policy and reference, in step with the other ranks.

    with accumulator.micro_batch(prompts) as packed:
        policy, reference = accumulator.logprobs(packed, temperature=…)
        accumulator.backward(loss)
    accumulator.fill_in()          # before the optimizer steps
    """

    def __init__(
        self,
        engine: DeepSpeedEngine,
        reference: PackedPolicy | DeepSpeedEngine | None,
        encoder: PromptEncoder,
        lockstep: Lockstep | None,
    ) -> None:
        self.engine = engine
        self.reference = reference
        self.encoder = encoder
        self.lockstep = lockstep
        self.forbidden_token_ids = vision_token_ids(encoder.tokenizer)
        self.begin_update()

    def begin_update(self) -> None:
        """Count anew what an update takes."""
        self.busy_s = 0.0
        """Seconds of the micro-batches, without the waits for other ranks between them."""
        self.num_micro_batches = 0
        self.num_tokens = 0

    @contextmanager
    def micro_batch(self, prompts: Sequence[PromptCompletions]) -> Iterator[PackedGroups]:
        """Inside, a micro-batch is ready to be computed, and so are those of the other ranks, or their fillers."""
        started = time.perf_counter()
        packed = packed_micro_batch(self.encoder, prompts, self.engine.device)
        ready = time.perf_counter()
        if self.lockstep is not None:
            self.lockstep.any_has_group(True)
        waited_s = time.perf_counter() - ready
        yield packed
        self.num_micro_batches += 1
        self.num_tokens += packed.num_tokens
        self.busy_s += time.perf_counter() - started - waited_s

    def logprobs(
        self, packed: PackedGroups, temperature: float
    ) -> tuple[list[CompletionLogprobs], Sequence[torch.Tensor | None]]:
        """Tokens under the current weights, differentiable, and under the reference, where there is one.

        One entry a prompt on both sides.
        """
        held = None
        if self.reference is not None:
            with torch.no_grad():
                held = [scored.logprobs for scored in self._scored(self.reference, packed, temperature)]
        policy = self._scored(self.engine, packed, temperature)
        return policy, held or [None] * len(policy)

    def backward(self, loss: torch.Tensor) -> None:
        """Add a loss's gradient to that of all ranks."""
        # DeepSpeed divides the ranks' sum by their number.
        self.engine.backward(loss * self.engine.world_size, scale_wrt_gas=False)

    def fill_in(self) -> None:
        """Go along with ranks that have groups left, and take part in the reduction even without a group of its own."""
        if self.lockstep is not None:
            self.come_together()
        elif self.num_micro_batches == 0:
            self._add_filler()

    def come_together(self) -> None:
        """Go along with ranks that have groups left, until all are at the same point and free for another collective.

        Fillers weigh nothing: an update in which ranks came together is the same. Collective.
        """
        while self.lockstep is not None and self.lockstep.any_has_group(False):
            self._add_filler()

    def spoil(self) -> None:
        """Make the gradient one that no optimizer step applies. On all ranks, before they step."""
        self._add_filler(weight=math.nan)

    def _add_filler(self, weight: float = 0.0) -> None:
        tower = self.engine.module.frozen_tower
        prompt = filler(self.encoder.tokenizer.eos_token_id, embed=tower.embed if tower else None)
        packed = packed_micro_batch(self.encoder, [prompt], self.engine.device)
        # Under ZeRO-3 the reference too is whole only where all ranks come along.
        [policy], _ = self.logprobs(packed, temperature=1.0)
        self.backward(weight * policy.logprobs.sum())

    def _scored(
        self, model: PackedPolicy | DeepSpeedEngine, packed: PackedGroups, temperature: float
    ) -> list[CompletionLogprobs]:
        return completion_logprobs(model, packed, temperature=temperature, forbidden_token_ids=self.forbidden_token_ids)
