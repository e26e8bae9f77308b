"""The driver's metrics: the run's rows as Prometheus has them, and what goes on between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from actors.telemetry.families import Sample, counter, gauge, role_of
from actors.telemetry.moment import Moment
from actors.telemetry.step_log import Row
from actors.telemetry.tally import Tally
from museg import __version__
from museg.config.schema import Config
from museg.runs.health import logprob_gap_bound

Skipped = Callable[[], Sequence[Mapping[str, object]]]
"""The rows of videos_skipped.jsonl."""

GAUGES: Final = {
    "step": ("museg_step", "Last step that was concluded"),
    "phase": ("museg_training_phase", "Phase of the configuration that the last step was of, from 1"),
    "weights_version": ("museg_weights_version", "Oldest weights that the last step's completions were sampled from"),
    "reward/std": ("museg_reward_std", "Standard deviation of the rewards of a step"),
    "completion/tokens_mean": ("museg_completion_tokens_mean", "Mean length of a completion"),
    "completion/truncated_fraction": ("museg_completion_truncated_ratio", "Completions that were cut off"),
    "policy/kl": ("museg_kl", "Divergence from the reference policy, nats a token"),
    "policy/entropy": ("museg_entropy", "Of the policy, nats a token"),
    "policy/clip_fraction": ("museg_clip_ratio", "Ratios that clipping held back"),
    "policy/loss": ("museg_loss", "Loss of the step"),
    "policy/grad_norm": ("museg_grad_norm", "Norm of the gradient before clipping"),
    "policy/lr": ("museg_learning_rate", "Learning rate of the step"),
    "policy/importance_mean": ("museg_importance_mean", "Mean importance weight"),
    "policy/importance_capped_fraction": ("museg_importance_capped_ratio", "Tokens whose weight was capped"),
    "parity/logprob_gap_mean": ("museg_logprob_gap_mean", "Mean difference of learner and generator, nats a token"),
    "parity/logprob_gap_max": ("museg_logprob_gap_max", "Largest difference of learner and generator, nats"),
    "staleness": ("museg_staleness_steps", "Steps that the sampled weights were behind"),
    "time/step_s": ("museg_step_seconds", "What the last step took"),
    "throughput/completions_per_s": ("museg_completions_per_second", "In the last step"),
    "throughput/samples_per_s": ("museg_samples_per_second", "In the last supervised step"),
    "throughput/tokens_per_s": ("museg_tokens_per_second", "Completion tokens in the last step"),
    "video/cache_hit_rate": ("museg_video_cache_hit_ratio", "Clips asked for that were decoded already"),
    "guards/entropy_collapsed": ("museg_entropy_collapsed", "1: entropy is below guards.min_entropy_fraction"),
    "guards/ungrounded": ("museg_ungrounded", "1: the last evaluation earns as much with the videos swapped"),
    "sft/loss": ("museg_sft_loss", "Loss of a supervised step, nats a token"),
    "sft/tokens_mean": ("museg_sft_tokens_mean", "Mean length of a target"),
}
"""Key of metrics.jsonl → name and description of a gauge without labels of its own."""
_NO_REWARDS: Final = ("reward/mean", "reward/std", "reward/failures")


class RunPage:
    """A step log, and the collector of a registry of its own.

    page = RunPage(config, moment, skipped)
    page.log(row)
    generate_latest(page.registry)
    """

    def __init__(self, config: Config, moment: Moment, skipped: Skipped) -> None:
        self._config = config
        self._moment = moment
        self._skipped_rows = skipped
        self._tally = Tally()
        self._skipped = {"video": 0, "storage": 0}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def log(self, row: Row) -> None:
        causes = [str(skipped["cause"]) for skipped in self._skipped_rows()]
        self._skipped = {cause: causes.count(cause) for cause in self._skipped | dict.fromkeys(causes)}
        self._tally = self._tally.after(row)

    def close(self, status: str) -> None:
        """The page ends with its server."""

    def collect(self) -> Iterator[Metric]:
        """All metrics, each with the run's name."""
        for families in (self._facts(), self._of_last_step(), self._counters(), self._moment.families()):
            for family in families:
                if family.samples:
                    yield _of_run(family, self._config.run.name)

    def _facts(self) -> Iterator[Metric]:
        config = self._config
        yield gauge("museg_run_info", "1; which version runs", [({"version": __version__}, 1.0)])
        yield gauge("museg_planned_steps", "Steps of the whole run", [({}, float(config.grpo.steps))])
        yield gauge("museg_staleness_bound_steps", "pipeline.staleness", [({}, float(config.pipeline.staleness))])
        yield gauge(
            "museg_samples_skipped_bound_ratio",
            "data.max_skipped_fraction",
            [({}, float(config.data.max_skipped_fraction))],
        )
        bound = logprob_gap_bound(config)
        if bound is not None:
            yield gauge("museg_logprob_gap_bound", "What museg_logprob_gap_mean should stay below", [({}, bound)])

    def _of_last_step(self) -> Iterator[Metric]:
        last = self._tally.last
        for key, (name, documentation) in GAUGES.items():
            if key in last:
                yield gauge(name, documentation, [({}, float(last[key]))])
        yield gauge(
            "museg_last_step_timestamp_seconds",
            "When the last step was concluded, or the driver started",
            [({}, max(last.get("time/unix_s", 0.0), self._moment.started_unix_s))],
        )
        if "sync/gb_per_s" in last:
            speed = 1e9 * last["sync/gb_per_s"]
            yield gauge("museg_sync_bytes_per_second", "Weights, from learner to generators", [({}, speed)])
        yield gauge("museg_reward_mean", "Mean reward of a step: their weighted sum is `total`", _rewards(last))
        yield gauge("museg_eval_score", "Held-out score; blind: with the videos swapped", _scores(last))
        yield gauge("museg_idle_ratio", "Share of the step in which a worker had nothing to do", _idle(last))

    def _counters(self) -> Iterator[Metric]:
        tally = self._tally
        drawn = tally.steps * self._config.grpo.prompts_per_step
        tokens = [({"kind": "completion"}, tally.completion_tokens), ({"kind": "learned"}, tally.learned_tokens)]
        phases = [({"phase": phase}, seconds) for phase, seconds in tally.phase_s.items()]
        skipped = [({"reason": cause}, count) for cause, count in self._skipped.items()]
        yield counter("museg_phase_seconds", "What the loop waited for", phases)
        yield counter("museg_samples", "Samples that steps were made of", [({}, drawn)])
        yield counter("museg_samples_skipped", "Samples whose videos couldn't be used", skipped)
        yield counter("museg_completions", "Completions sampled", [({}, tally.completions)])
        yield counter("museg_tokens", "Tokens sampled (or taught), and tokens that the learner went over", tokens)
        yield counter("museg_sync_bytes", "Weights that left the learner", [({}, tally.sync_bytes)])
        yield counter("museg_reward_failures", "Rewards that failed and count as 0", [({}, tally.reward_failures)])
        yield counter("museg_zero_advantage_groups", "Groups whose rewards are all equal", [({}, tally.zero_groups)])
        bad = tally.last.get("guards/bad_steps", 0)
        yield counter("museg_bad_steps", "Steps that were skipped because their numbers aren't finite", [({}, bad)])


def _rewards(row: Row) -> list[Sample]:
    names = [key for key in row if key.startswith("reward/") and key not in _NO_REWARDS]
    total = [({"reward": "total"}, row["reward/mean"])] if "reward/mean" in row else []
    return [*total, *(({"reward": key.removeprefix("reward/")}, row[key]) for key in names)]


def _scores(row: Row) -> list[Sample]:
    scores = {key.removeprefix("eval/"): value for key, value in row.items() if key.startswith("eval/")}
    return [
        ({"metric": name.removeprefix("blind/"), "blind": str(name.startswith("blind/")).lower()}, value)
        for name, value in scores.items()
    ]


def _idle(row: Row) -> list[Sample]:
    idle = {key.removeprefix("idle/"): value for key, value in row.items() if key.startswith("idle/")}
    return [({"role": role_of(worker), "worker": worker}, value) for worker, value in idle.items()]


def _of_run(family: Metric, run: str) -> Metric:
    """The family with the label `run` on all its samples."""
    family.samples = [sample._replace(labels={"run": run, **sample.labels}) for sample in family.samples]
    return family
