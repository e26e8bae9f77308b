"""The same training without DeepSpeed and Ray."""

from __future__ import annotations

from pathlib import Path

import torch

from actors.learner.schedule import learning_rate
from museg.config.schema import Config
from museg.policy.inputs import PromptEncoder, vision_token_ids
from museg.policy.loading import load_policy
from museg.policy.logprobs import CompletionLogprobs, completion_logprobs
from museg.policy.packing import pack_groups
from tests.actors.learner.conftest import Batch, Weights


class PlainLearner:
    """A policy under torch's AdamW, its groups scored one by one, and one backward for a whole step's loss."""

    def __init__(self, config: Config, batch: Batch) -> None:
        self.config = config
        folder = Path(config.model.path)
        encoder = PromptEncoder.from_folder(folder, dtype=torch.float32)
        self.forbidden = vision_token_ids(encoder.tokenizer)
        self.policy, self.reference = (
            load_policy(folder, dtype=torch.float32, gradient_checkpointing=False) for _ in range(2)
        )
        self.optimizer = torch.optim.AdamW(self.policy.parameters(), betas=config.learner.betas, weight_decay=0.0)
        self.packed = [
            pack_groups([(encoder.encode(group.prompt, clip), [c.token_ids for c in group.completions])])
            for group, clip in zip(batch.groups, batch.clips, strict=True)
        ]

    def scores(self) -> list[CompletionLogprobs]:
        """Of every group under the current weights."""
        return [
            completion_logprobs(self.policy, packed, temperature=0.9, forbidden_token_ids=self.forbidden)[0]
            for packed in self.packed
        ]

    def reference_logprobs(self) -> list[torch.Tensor]:
        with torch.no_grad():
            return [
                completion_logprobs(self.reference, packed, temperature=0.9, forbidden_token_ids=self.forbidden)[
                    0
                ].logprobs
                for packed in self.packed
            ]

    def apply(self, loss: torch.Tensor, step: int) -> float:
        """One optimizer step at the learning rate of `step`; the gradient's norm before clipping."""
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.learner.max_grad_norm)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = learning_rate(self.config.learner, step, self.config.grpo.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm)

    def weights(self) -> Weights:
        return {name: parameter.detach().numpy() for name, parameter in self.policy.named_parameters()}
