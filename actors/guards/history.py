"""What of a run's past its guards look back on: read from the rows of metrics.jsonl, so a resumed run knows it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

NUM_FIRST_STEPS = 5
"""Steps whose entropy later ones are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`history.after(row)` for every row, in order."""

    bad_steps: int = 0
    """Skipped so far."""
    bad_in_a_row: int = 0
    """Of these, the last ones, without a sound step after them."""
    first_entropies: tuple[float, ...] = ()
    """Nats, of the first sound steps."""
    entropy_collapsed: bool = False
    """It was below the bound in an earlier step."""
    ungrounded: bool = False

    def after(self, row: Mapping[str, object]) -> History:
        """With one more step, whose row has its `guards/…`."""
        bad_steps = int(_number(row, "guards/bad_steps"))
        if bad_steps > self.bad_steps:
            return replace(self, bad_steps=bad_steps, bad_in_a_row=self.bad_in_a_row + 1)
        first = (*self.first_entropies, _number(row, "policy/entropy"))[:NUM_FIRST_STEPS]
        return replace(
            self,
            bad_in_a_row=0,
            first_entropies=first,
            entropy_collapsed=self.entropy_collapsed or bool(_number(row, "guards/entropy_collapsed")),
            ungrounded=self.ungrounded or bool(_number(row, "guards/ungrounded")),
        )

    def collapsed(self, entropy: float, min_fraction: float) -> bool:
        """Whether a step's entropy is below a share of that of the first ones, all of which are past."""
        known = len(self.first_entropies) == NUM_FIRST_STEPS
        return known and entropy < min_fraction * fmean(self.first_entropies)


def _number(row: Mapping[str, object], key: str) -> float:
    value = row.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0
