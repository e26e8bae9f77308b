"""Reward workers: decode a sample's video once for everybody, and score completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import ray

from actors.faults.watched import Watched
from actors.telemetry.worker_metrics import WorkerMetrics
from museg.config.phases import phases_of
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import VideoError
from museg.rewards.scoring import RewardBreakdown, Scorer
from museg.video.clip import ClipFacts, VideoClip
from museg.video.clip_store import ClipStore, Decode
from museg.video.decoder import Decoder
from museg.video.decoding_process import UnreadableError
from museg.video.limits import GIB, DecodeLimits
from museg.video.paths import opened_video
from museg.video.pixel_budget import FrameBudget

SCORING: Final = "scoring"
"""Group of calls that have a thread of their own: a group's rewards never wait for a video."""


Cause = Literal["video", "storage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOutcome:
    """What the trainer knows of a clip without holding its frames."""

    video: str
    error: str | None
    """Why there is no clip; None where there is one."""
    cause: Cause = "video"
    """Whose fault that is: the video's, or its storage's."""
    facts: ClipFacts | None = None
    """None where there is no clip."""
    num_visual_tokens: int = 0
    """Tokens that the clip adds to its prompt: one for two frames of 28 × 28 pixels."""
    num_bytes: int = 0
    """Size of the clip's frames."""
    node_id: str | None = None
    """Of the node that holds the clip."""


class RewardWorker(Watched):
    """Ray actor without a GPU. Every method is pure: calling it again gives the same.

    worker = as_actor(RewardWorker, SCORING).remote(config, rank)
    """

    def __init__(self, config: Config, rank: int) -> None:
        self.rank = rank
        self.metrics = WorkerMetrics(config.run.name, "reward", rank)
        self.video_root = Path(config.data.video_root)
        self.allow_outside = config.data.allow_outside
        self.decoder = Decoder(DecodeLimits.from_config(config.video))
        self._clip: Decode = self.decoder.clip
        if config.video.cache_dir is not None:
            max_bytes = int(config.video.cache_dir_gib * GIB)
            self._clip = ClipStore(Path(config.video.cache_dir), max_bytes=max_bytes, decode=self.decoder.clip).clip
        self.scorers = [Scorer.from_config(phase.config.reward, guarded=True) for phase in phases_of(config)]

    def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, VideoClip | None]:
        """The clip of a video under `data.video_root`; one that can't be decoded is told in the outcome, not raised."""
        try:
            with (
                self.metrics.seconds("museg_decode_seconds_total"),
                opened_video(self.video_root, video, allow_outside=self.allow_outside) as path,
            ):
                clip = self._clip(path, video=video, budget=budget)
        except VideoError as error:
            self.metrics.add("museg_videos_failed_total")
            cause: Cause = "storage" if isinstance(error, UnreadableError) else "video"
            return DecodeOutcome(video=video, error=str(error), cause=cause), None
        self.metrics.add("museg_videos_decoded_total")
        frames, height, width, _ = clip.frames.shape
        num_visual_tokens = frames // 2 * (height // 28) * (width // 28)
        outcome = DecodeOutcome(
            video=video,
            error=None,
            facts=clip.facts,
            num_visual_tokens=num_visual_tokens,
            num_bytes=clip.frames.nbytes,
            node_id=str(ray.get_runtime_context().get_node_id()),
        )
        return outcome, clip

    @ray.method(concurrency_group=SCORING)
    def score(self, sample: Sample, texts: Sequence[str], clip: ClipFacts | None, phase: int) -> list[RewardBreakdown]:
        """The rewards of every completion of one group, in order, by the rules of a phase (its index).

        Raises:
            RewardError: a reward function of the user's failed and `reward.on_error` is `error`.
        """
        with self.metrics.seconds("museg_score_seconds_total"):
            rewards = [self.scorers[phase].score(text, sample, clip) for text in texts]
        self.metrics.add("museg_scored_completions_total", len(texts))
        return rewards

    def __repr__(self) -> str:
        return f"reward-{self.rank}"
