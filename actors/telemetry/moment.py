"""What a run is doing at the moment, between two rows of metrics.jsonl."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from actors.faults.budget import RestartBudget
from actors.generation.pool import GeneratorPool
from actors.occupation import Occupation
from actors.rollout.video_source import VideoSource
from actors.telemetry.families import counter, gauge, role_of

PHASES: Final = ("wait_video", "generate", "reward", "learn", "sync")
"""Of a step, in their order: what the loop waits for."""
START, CONCLUDE = "start", "conclude"
"""Before the first step; and after a step: evaluation, records, checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts of a run that know what is going on."""

    occupation: Occupation
    budget: RestartBudget
    videos: VideoSource
    generators: GeneratorPool | None = None
    """None in a supervised run."""


@dataclass(slots=True, kw_only=True)
class Moment:
    """Read by the page's thread while the loop changes it; each value is right by itself."""

    phase: str = START
    checkpoint_s: float | None = None
    """What the last checkpoint took, once there was one."""
    started_unix_s: float = field(default_factory=time.time)
    sources: Sources | None = None

    def lap(self, phase: str) -> None:
        """A phase of a step has ended, and the next one begins."""
        following = PHASES.index(phase) + 1
        self.phase = PHASES[following] if following < len(PHASES) else CONCLUDE

    def families(self) -> Iterator[Metric]:
        """Metrics as they are now."""
        yield gauge(
            "museg_phase_now",
            "1 for what the loop waits for at present",
            [({"phase": phase}, float(phase == self.phase)) for phase in (START, *PHASES, CONCLUDE)],
        )
        if self.checkpoint_s is not None:
            yield gauge("museg_checkpoint_seconds", "What the last checkpoint took", [({}, self.checkpoint_s)])
        if self.sources is not None:
            yield from _of_sources(self.sources)


def _of_sources(sources: Sources) -> Iterator[Metric]:
    yield counter(
        "museg_actor_restarts",
        "Workers that were replaced after they died or hung",
        [({"role": role}, float(count)) for role, count in sorted(dict(sources.budget.by_role).items())],
    )
    outstanding = sources.occupation.all_outstanding()
    yield gauge(
        "museg_calls_outstanding",
        "Calls that a worker holds and hasn't answered: prompts, videos and groups to score, micro-batches",
        [({"role": role_of(worker), "worker": worker}, float(count)) for worker, count in outstanding.items()],
    )
    yield gauge("museg_videos_decoding", "Videos that are being decoded", [({}, float(sources.videos.num_decoding))])
    yield gauge("museg_video_cache_bytes", "Decoded clips that are kept", [({}, float(sources.videos.num_bytes))])
    yield from _of_generators(sources.generators)


def _of_generators(generators: GeneratorPool | None) -> Iterator[GaugeMetricFamily]:
    if generators is not None:
        yield gauge(
            "museg_prompts_waiting", "Prompts that no generator has taken yet", [({}, float(generators.num_waiting))]
        )
