"""TRL's `GRPOTrainer` at the same work: its logprobs, entropies and loss, on a model that shares the weights.

TRL takes images but no video. It is given the video's patches as one image with the video's own grid (its time axis
too), its placeholders in the place of the video's: the tower and the text model compute the same, at the same
positions, and so the logprobs can be compared. Its text attention is transformers' SDPA. Off CUDA, TRL's fused head
computes the logits of the prompt too.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from museg.benchmarks.learner.material import LearnerWork, Material
from museg.benchmarks.learner.ways import KL_BETA, TEMPERATURE
from museg.tiny_model.architecture import build_processor


class TRLWay:
    """A trainer as a user of TRL makes it, given a group that is sampled already."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, material: Material, work: LearnerWork) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        self._with_reference = work.with_reference
        with tempfile.TemporaryDirectory() as folder:
            self._trainer = GRPOTrainer(
                model=model,
                reward_funcs=_no_reward,
                args=GRPOConfig(
                    output_dir=folder,
                    use_cpu=work.device == "cpu",
                    bf16=False,
                    report_to=[],
                    per_device_train_batch_size=work.group_size,
                    num_generations=work.group_size,
                    max_completion_length=work.completion_tokens,
                    temperature=TEMPERATURE,
                    loss_type="grpo",
                    epsilon=1e6,  # MUSEG's loss doesn't clip; with one update a rollout there is nothing to clip.
                    beta=0.0,
                    use_bias_correction_kl=False,
                    gradient_checkpointing=work.gradient_checkpointing,
                ),
                train_dataset=Dataset.from_list([{"prompt": "A question"}]),
                processing_class=build_processor(),
            )
        # The reference shares the policy's weights, as in the other ways: a second model would only cost memory.
        self._trainer.beta = KL_BETA if work.with_reference else 0.0
        # `Trainer.train` sets it.
        self._trainer.current_gradient_accumulation_steps = 1
        self._inputs = _inputs(model, material)

    def logprobs(self) -> torch.Tensor:
        """Logprobs of the group, `[G, C]`, without gradient."""
        names = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
        masks = torch.cat([self._inputs["prompt_mask"], self._inputs["completion_mask"]], dim=1)
        ids = torch.cat([self._inputs["prompt_ids"], self._inputs["completion_ids"]], dim=1)
        with torch.no_grad():
            logprobs, _, _ = self._trainer._get_per_token_logps_and_entropies(
                self._trainer.model,
                ids,
                masks,
                self._inputs["completion_ids"].shape[1],
                **{name: self._inputs[name] for name in names},
            )
        return logprobs

    def step(self) -> None:
        """Score, take the loss, leave its gradient on the parameters."""
        self._trainer.model.zero_grad(set_to_none=True)
        reference = {"ref_per_token_logps": self.logprobs()} if self._with_reference else {}
        self._trainer.compute_loss(self._trainer.model, {**self._inputs, **reference}).backward()


def _inputs(model: Qwen2_5_VLForConditionalGeneration, material: Material) -> dict[str, Any]:
    """What `GRPOTrainer._generate_and_score_completions` hands on for the group."""
    config, device, group_size = model.config, next(model.parameters()).device, len(material.completions)
    prompt, completions = material.prompt, torch.tensor(material.completions, device=device)
    ids = prompt.input_ids.masked_fill(prompt.input_ids == config.video_token_id, config.image_token_id)
    prompts = ids.repeat(group_size, 1).to(device)
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": completions,
        "completion_mask": torch.ones_like(completions),
        "advantages": material.advantages,
        "pixel_values": prompt.pixel_values.repeat(group_size, 1).to(device),
        "image_grid_thw": prompt.grid_thw.repeat(group_size, 1).to(device),
        "num_images": [1] * group_size,
        "mm_token_type_ids": torch.cat([prompts == config.image_token_id, torch.zeros_like(completions)], dim=1).int(),
    }


def _no_reward(completions: list[object], **_: object) -> list[float]:
    """The trainer wants a reward to be made; the group's advantages are given."""
    return [0.0] * len(completions)
