"""What a run's numbers tell from step to step, and when they end it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Self

from actors.guards.grounding import ungrounded
from actors.guards.history import History
from actors.learner.stats import DivergedError, SkipReason
from museg.config.schema import GuardsConfig
from museg.runs.directory import RunDirectory


class Guards:
    """Counts steps that were skipped, ends the run after too many, and warns of what is wrong with what was learned.

        row |= guards.note(skipped)                     # what the learner made of the step
        row |= guards.marks(row, before=eval_before)
        metrics.append(row)
        guards.refuse(step, row)                        # when the step is on record

    Everything follows from the rows, so a resumed run's guards stand where the first one's did.
    """

    def __init__(
        self, config: GuardsConfig, rows: Iterable[Mapping[str, object]] = (), *, say: Callable[[str], None]
    ) -> None:
        """`rows` are those of the steps before; `say` tells the user."""
        self.config = config
        self._say = say
        self._skipped: SkipReason | None = None
        self._past = reduce(History.after, rows, History())
        if self._past.bad_in_a_row > config.max_bad_steps:
            # They ended the run, and its user has started it again.
            self._past = History.after(self._past, {"guards/bad_steps": self._past.bad_steps})

    @classmethod
    def of_run(cls, config: GuardsConfig, run: RunDirectory, *, after_step: int, say: Callable[[str], None]) -> Self:
        """Of a run that goes on after a step, whatever it has recorded beyond."""
        return cls(config, run.rows_until(after_step), say=say)

    def note(self, skipped: SkipReason | None) -> dict[str, float]:
        """`guards/bad_steps` of the present step, and why it was skipped if so."""
        self._skipped = skipped
        return {"guards/bad_steps": self._past.bad_steps + (skipped is not None)}

    def passed(self, row: Mapping[str, float]) -> None:
        """Look back on a supervised step from now on, of which nothing else is watched."""
        self._past = self._past.after(row)

    def marks(self, row: Mapping[str, float], *, before: Mapping[str, float]) -> dict[str, float]:
        """What else of `guards/…` a step has.

        Args:
            row: the step's metrics, `eval/…` among them if it was evaluated.
            before: scores of the evaluation before training.
        """
        past, sound = self._past, row["guards/bad_steps"] == self._past.bad_steps
        collapsed = sound and past.collapsed(row["policy/entropy"], self.config.min_entropy_fraction)
        marks = {"guards/entropy_collapsed": float(collapsed)}
        scores = {key.removeprefix("eval/"): value for key, value in row.items() if key.startswith("eval/")}
        if scores:
            marks["guards/ungrounded"] = float(ungrounded(scores, before))
        if collapsed and not past.entropy_collapsed:
            self._say(_COLLAPSED.format(entropy=row["policy/entropy"], config=self.config))
        if marks.get("guards/ungrounded") and not past.ungrounded:
            self._say(_UNGROUNDED.format(blind=scores["blind/miou"], seeing=scores["miou"]))
        self._past = past.after({**row, **marks})
        return marks

    def refuse(self, step: int, row: Mapping[str, float]) -> None:
        """End the run where it can't go on from a skipped step.

        Raises:
            DivergedError: generator and learner have come apart, or too many steps in a row were skipped.
        """
        skipped = self._skipped
        if skipped is None:
            return
        if skipped is SkipReason.logprob_gap:
            told = _GAP.format(gap=row["parity/logprob_gap_mean"], config=self.config)
            raise DivergedError(f"step {step}: {skipped}: {told}", state_of_step=step - 1)
        if self._past.bad_in_a_row > self.config.max_bad_steps:
            raise DivergedError(
                f"step {step}: {skipped}, in {self._past.bad_in_a_row} steps in a row, and "
                f"guards.max_bad_steps={self.config.max_bad_steps}: {_MEND}",
                state_of_step=step,
            )
        self._say(f"step {step} is skipped: {skipped}; bad_steps/ has its completions")


_MEND = (
    "see bad_steps/; go on from a checkpoint in a run of another name with a lower learner.lr, and see that the reward "
    "functions return finite numbers"
)
_GAP = (
    "their logprobs of the same tokens differ by {gap:.3g} nats on average, and "
    "guards.max_logprob_gap={config.max_logprob_gap:g}. Likely causes: new weights that didn't reach a generator, "
    "model.dtype (bfloat16 differs by a few hundredths), a model folder that has changed, or an engine with other "
    "positions or frames"
)
_COLLAPSED = (
    "warning: the policy's entropy has fallen to {entropy:.3g} nats, below guards.min_entropy_fraction="
    "{config.min_entropy_fraction:g} of that of the first steps: it is about to give one answer to every question; "
    "a higher grpo.kl_beta, a lower learner.lr or generation.temperature nearer 1 hold it up"
)
_UNGROUNDED = (
    "warning: with the videos swapped the answers score {blind:.3f}, and with the right ones {seeing:.3f}: what earns "
    "the reward is hardly in the video; see to data in which no constant answer pays, and to eval/blind/miou"
)
