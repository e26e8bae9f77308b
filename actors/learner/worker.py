"""`LearnerWorker`: one rank of the learner."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ray
import torch
from ray.actor import ActorHandle
from ray.util import get_node_ip_address

from actors.faults.watched import HEALTH, Watched
from actors.learner.accumulator import Accumulator
from actors.learner.checkpoint import load_state, save_hf, save_state
from actors.learner.demonstration_losses import demonstration_losses
from actors.learner.exporter import WeightExporter
from actors.learner.group_losses import group_losses
from actors.learner.lockstep import Lockstep
from actors.learner.micro_batch import Clip, prompts_of_demonstrations, prompts_of_groups
from actors.learner.schedule import learning_rate
from actors.learner.snapshot import Files, SnapshotFacts, laid_out, snapshot, written_by
from actors.learner.soundness import Soundness
from actors.learner.stats import DemonstrationStats, GroupStats, SkipReason, StepStats
from actors.learner.updates import OldLogprobs
from actors.phase_start import PhaseStart
from actors.telemetry.worker_metrics import WorkerMetrics
from actors.weight_sync.buckets import WeightBucket, full_shape
from actors.weight_sync.segments import SharedBucket
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from museg.grpo.variants import loss_settings
from museg.policy.inputs import PromptEncoder
from museg.policy.vision import EmbeddedVideo
from museg.rollout.completions import Group
from museg.sft.demonstrations import Demonstration
from museg.video.clip import VideoClip

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from museg.policy.model import PackedPolicy


class LearnerWorker(Watched):
    """One rank of a DeepSpeed engine that trains the policy by GRPO or on demonstrations, as a Ray actor.

    Everything but `rendezvous_address` and `embed` is collective: the trainer calls it on all ranks, in the same order.
    Only `accumulate` may differ among ranks in its groups and in how often it is called between two `step`s.

        address, port = ranks[0].rendezvous_address()
        for rank in ranks: rank.connect(address, port, start)
        for rank in ranks: rank.accumulate(groups_of[rank], clips_of[rank], totals)
        for rank in ranks: rank.step()
        for rank in ranks: rank.export_weights()      # rank 0 yields the buckets
        for rank in ranks: rank.begin_phase(start)    # where the run has several
    """

    def __init__(self, config: Config, rank: int) -> None:
        self.config = config
        self.rank = rank
        self.metrics = WorkerMetrics(config.run.name, "learner", rank)
        self.reference: PackedPolicy | DeepSpeedEngine | None = None
        self.reference_path: Path | None = None
        self.exporter = WeightExporter(rank, config.sync.bucket_mib * 1024**2)
        self.dropped = False
        self.old_logprobs = OldLogprobs(config.grpo.updates_per_rollout)
        self.soundness = Soundness.watching(config)
        torch.set_num_threads(config.learner.threads)
        torch.manual_seed(config.seed)
        torch.use_deterministic_algorithms(config.deterministic)

    def rendezvous_address(self) -> tuple[str, int]:
        """Address of this rank's node and a port that is free there now; asked of rank 0."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return get_node_ip_address(), probe.getsockname()[1]

    def connect(self, address: str, port: int, start: PhaseStart | None = None) -> None:
        """Join the other ranks and load what the phase starts from (by default, the run from `model.path`)."""
        # Here, because the driver imports this class and has no use for DeepSpeed.
        from actors.learner.engine import TORCH_DTYPES, join_ranks

        config = self.config
        join_ranks(config, self.rank, address, port)
        self.encoder = PromptEncoder.from_folder(Path(config.model.path), dtype=TORCH_DTYPES[config.model.dtype])
        # From ZeRO-2 on, every micro-batch is an exchange with all ranks.
        together = config.learner.zero_stage >= 2 and config.learner.ranks > 1
        self.lockstep = Lockstep.for_streaming(config) if together else None
        start = start or PhaseStart.of_run(config)
        self._load_policy(start)
        self._take_up(start)
        self.accumulator = Accumulator(self.engine, self.reference, self.encoder, self.lockstep)

    def begin_phase(self, start: PhaseStart) -> None:
        """Go on under a phase's settings; if it restarts, from its weights with a new engine, as a new run would."""
        from actors.learner.engine import release

        # It holds the models too, and those that are replaced must go before others come.
        del self.accumulator
        if start.phase.restarts:
            release(self.engine)
            self.exporter.let_go()
            del self.engine, self.stage_0_norms
            self._load_policy(start)
        self._take_up(start)
        self.accumulator = Accumulator(self.engine, self.reference, self.encoder, self.lockstep)

    def embed(self, clip: VideoClip) -> tuple[None, EmbeddedVideo]:
        """What the frozen vision tower makes of a clip (`policy.freeze_vision`); any rank by itself.

        Two values, so that the first can be waited for and the second need not travel.
        """
        return None, self.engine.module.frozen_tower.embed(clip)

    def accumulate(
        self, groups: Sequence[Group], clips: Sequence[Clip | ray.ObjectRef], totals: StepTotals
    ) -> list[GroupStats]:
        """Add some groups' share of the gradient of an update: that of the loss over all of a step's groups.

        They are one micro-batch: one packed forward and backward. However the groups are spread over the ranks and over
        calls, the sum is the same. From ZeRO-2 on, a call returns only as the other ranks come along, with groups of
        their own or with fillers in `step`. Above one `grpo.updates_per_rollout`, each update gives a rank the groups
        that the step's first gave it, in that order.

        Args:
            groups: this rank's, may be none.
            clips: the groups' videos, embedded where the tower is frozen, or references to them.
            totals: of this step's groups on all ranks together.

        Returns:
            One entry a group, in order. Where a loss isn't finite, `step` skips the update.
        """
        prompts = prompts_of_groups(groups, clips)
        if not prompts or self.dropped:
            return []
        with self.accumulator.micro_batch(prompts) as packed:
            policy, reference = self.accumulator.logprobs(packed, self.config.generation.temperature)
            old = self.old_logprobs.of_next(len(groups))
            loss, stats = group_losses(groups, policy, reference, old, loss_settings(self.config), totals)
            self.accumulator.backward(loss)
            self.soundness.note(stats)
            self.old_logprobs.done([scored.logprobs for scored in policy])
        return stats

    def accumulate_supervised(
        self,
        demonstrations: Sequence[Demonstration],
        clips: Sequence[Clip | ray.ObjectRef],
        num_demonstrations: int,
    ) -> list[DemonstrationStats]:
        """Add some demonstrations' share of a supervised step's gradient, as `accumulate` does with groups."""
        prompts = prompts_of_demonstrations(demonstrations, clips)
        if not prompts or self.dropped:
            return []
        with self.accumulator.micro_batch(prompts) as packed:
            policy, _ = self.accumulator.logprobs(packed, temperature=1.0)
            loss, stats = demonstration_losses(demonstrations, policy)
            self.accumulator.backward(loss / num_demonstrations)
            self.soundness.note(stats)
        return stats

    def step(self) -> StepStats:
        """Apply the accumulated gradient, clipped, at this step's learning rate, which all its updates share.

        An update whose numbers went wrong on any rank is skipped on all (`StepStats.skipped`), and so are those that
        would follow it in its step: weights and optimizer stay as they are, and only the schedule goes on.
        """
        self.accumulator.fill_in()
        skipped = self.soundness.verdict(self.engine.device, first_update=self.old_logprobs.at_first_update)
        if skipped:
            # So that it goes the optimizer's own way out, which leaves nothing behind at any stage.
            self.accumulator.spoil()
        started = time.perf_counter()
        step = self._step_number()
        lr = learning_rate(self.config.learner, step, self.schedule_steps)
        for parameters in self.engine.optimizer.param_groups:
            parameters["lr"] = lr
        self.engine.step()
        norm = float(self.stage_0_norms.pop() if self.stage_0_norms is not None else self.engine.get_global_grad_norm())
        if not math.isfinite(norm):
            skipped = skipped or SkipReason.gradient
        self._update_done(skipped)
        stats = StepStats(
            step=step,
            grad_norm=0.0 if skipped else norm,
            lr=lr,
            seconds=time.perf_counter() - started,
            busy_s=(self.accumulator.busy_s,),
            num_micro_batches=self.accumulator.num_micro_batches,
            num_tokens=self.accumulator.num_tokens,
            skipped=skipped,
        )
        self.metrics.learned(stats)
        self.accumulator.begin_update()
        return stats

    def export_weights(self, *, within_node: bool = False) -> Iterator[WeightBucket | SharedBucket]:
        """The policy's weights under their Hugging Face names, in buckets of about `sync.bucket_mib`.

        All ranks run it to its end; rank 0 alone yields. Buckets that stay `within_node` lie in memory that later ones
        use again, or are the very parameters that the next `step` changes: see `SharedBucket`.

        In the midst of an update, too.
        """
        self.accumulator.come_together()
        yield from self.exporter.buckets(within_node=within_node)

    def connect_generators(self, address: str, port: int, generators: Sequence[ActorHandle], timeout_s: float) -> None:
        """Form the NCCL group through which `broadcast_weights` sends. On CUDA, once, on all ranks; not run yet."""
        self.exporter.connect(address, port, generators, timeout_s)

    def broadcast_weights(self) -> int:
        """Send the policy's weights to the connected generators, all ranks together; the bytes of them."""
        return self.exporter.broadcast()

    def save_hf(self, path: Path) -> None:
        """Write the policy as a Hugging Face folder that transformers and vLLM load."""
        save_hf(self.engine, Path(self.config.model.path), path, writes=self.rank == 0)

    def save_state(self, path: Path) -> None:
        """Write all that `load_state` needs to go on as if nothing had happened."""
        save_state(self.engine, path, rank=self.rank, num_ranks=self.config.learner.ranks)

    def load_state(self, path: Path) -> None:
        """Take up a saved state: weights, optimizer, step count, random states.

        Raises:
            ModelError: the folder isn't a complete state for this number of ranks.
        """
        load_state(self.engine, path, rank=self.rank, num_ranks=self.config.learner.ranks)

    @ray.method(concurrency_group=HEALTH)
    def drop_step(self) -> None:
        """Leave what is still to be accumulated, also what waits already; the run ends after a last `snapshot`."""
        self.dropped = True

    @ray.method(num_returns=3)
    def snapshot(self) -> tuple[SnapshotFacts, Files, Files]:
        """What `save_state` would write, as values: facts, files for every rank, and those of this rank alone."""
        self.accumulator.come_together()
        return snapshot(self._step_number() - 1, self.save_state, self._state_bytes())

    @ray.method(num_returns=2)
    def copy_hf(self) -> tuple[None, Files]:
        """What `save_hf` would write, as a value, rank 0's; with it a sign that it is there, which needn't travel."""
        return None, written_by(self.save_hf, self._state_bytes())

    def restore(self, shared: Files, own: Files) -> None:
        """Take up a snapshot: the first rank's shared files and this rank's own. Raises as `load_state`."""
        with laid_out(shared, own) as folder:
            self.load_state(folder)

    def __repr__(self) -> str:
        return f"learner-{self.rank}"

    def _load_policy(self, start: PhaseStart) -> None:
        from actors.learner.engine import build_policy_engine, clip_at_step, lends_parameters, reclaim_memory

        reclaim_memory()
        torch.manual_seed(self.config.seed)
        self.engine = build_policy_engine(start.phase.config, start.policy)
        self.stage_0_norms = clip_at_step(self.engine, start.phase.config)
        self.exporter.take(self.engine, lends_parameters=lends_parameters(self.config))

    def _take_up(self, start: PhaseStart) -> None:
        """The phase's settings, and its reference where `grpo.kl_beta` is above 0."""
        from actors.learner.engine import build_reference, reclaim_memory, release

        self.config = start.phase.config
        self.schedule_steps = start.phase.schedule_steps
        wanted = start.reference if loss_settings(self.config).kl_beta > 0 else None
        if wanted == self.reference_path:
            return
        release(self.reference)
        self.reference = None
        reclaim_memory()
        self.reference = build_reference(self.config, wanted) if wanted else None
        self.reference_path = wanted

    def _state_bytes(self) -> int:
        """Most that all ranks' state takes: float32 weights, their master copies, and two moments."""
        return 16 * sum(full_shape(parameter).numel() for parameter in self.engine.module.parameters())

    def _step_number(self) -> int:
        """The GRPO step at work, from 1 at the optimizer's start; DeepSpeed counts, and saves, optimizer steps."""
        return self.engine.global_steps // self.config.grpo.updates_per_rollout + 1

    def _update_done(self, skipped: SkipReason | None) -> None:
        """Count an update that DeepSpeed has counted, and those that are left out because it was skipped."""
        if skipped is SkipReason.logprob_gap:
            # The run ends, and what is saved is the state after the step before.
            self.engine.global_steps -= 1
        elif skipped:
            self.engine.global_steps += self.old_logprobs.num_updates_left - 1
        self.old_logprobs.update_done(last=skipped is not None)
