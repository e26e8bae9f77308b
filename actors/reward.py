"""Reward workers: decode a sample's video once for everybody, and score completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import VideoError
from museg.rewards.scoring import RewardBreakdown, score_completion
from museg.video.clip import VideoClip
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOutcome:
    """What the trainer knows of a clip without holding its frames."""

    video: str
    error: str | None
    """Why there is no clip; None where there is one."""
    duration_s: float = 0.0
    num_visual_tokens: int = 0
    """Tokens that the clip adds to its prompt: one for two frames of 28 × 28 pixels."""


def reward_weights(config: Config) -> dict[str, float]:
    """Reward name → weight, of the rewards that GRPO maximises."""
    return {name: config.reward.weights.get(name, 1.0) for name in config.reward.functions}


class RewardWorker:
    """Ray actor without a GPU. Every method is pure: calling it again gives the same."""

    def __init__(self, config: Config, rank: int) -> None:
        self.rank = rank
        self.video_root = Path(config.data.video_root)
        self.weights: Mapping[str, float] = reward_weights(config)

    def decode(self, sample: Sample, budget: FrameBudget) -> tuple[DecodeOutcome, VideoClip | None]:
        """The sample's clip; a video that can't be decoded is told in the outcome, not raised."""
        try:
            clip = decode_clip(self.video_root / sample.video, video=sample.video, budget=budget)
        except VideoError as error:
            return DecodeOutcome(video=sample.video, error=str(error)), None
        frames, height, width, _ = clip.frames.shape
        num_visual_tokens = frames // 2 * (height // 28) * (width // 28)
        outcome = DecodeOutcome(
            video=sample.video, error=None, duration_s=clip.duration_s, num_visual_tokens=num_visual_tokens
        )
        return outcome, clip

    def score(self, sample: Sample, texts: Sequence[str]) -> list[RewardBreakdown]:
        """The rewards of every completion of one group, in order."""
        return [score_completion(text, sample, self.weights) for text in texts]

    def __repr__(self) -> str:
        return f"reward-{self.rank}"
