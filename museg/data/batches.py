"""Which samples a step draws: pure functions of step and seed, so that a resumed run needs no state."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import numpy as np

from museg.errors import DataError

_EPOCHS, _RESERVES = 0, 1
"""Streams of random numbers, kept apart."""


def batch_of_step(num_samples: int, prompts_per_step: int, step: int, seed: int) -> list[int]:
    """Indices of the samples of one step (counted from 0), `[prompts_per_step]`.

    Epochs are seeded permutations of all samples laid end to end and cut into batches, so every sample is drawn exactly
    once an epoch and a batch may straddle two. No batch holds a sample twice, unless it is larger than the data.
    """
    start = step * prompts_per_step
    batch: list[int] = []
    while len(batch) < prompts_per_step:
        epoch, offset = divmod(start + len(batch), num_samples)
        order = _epoch_order(num_samples, prompts_per_step, epoch, seed)
        batch += order[offset : offset + prompts_per_step - len(batch)]
    return batch


def replacement(num_samples: int, step: int, seed: int, tried: Collection[int]) -> int:
    """The sample that stands in at `step` (counted from 0) for one whose video can't be read.

    It is the first of the step's reserve, a seeded permutation of all samples, that isn't in `tried`: the step's batch
    and the replacements that it has taken so far. What other steps met doesn't matter, so a resumed run repeats it.

    Raises DataError if every sample was tried.
    """
    reserve = np.random.default_rng((seed, _RESERVES, step)).permutation(num_samples).tolist()
    for idx in reserve:
        if idx not in tried:
            return int(idx)
    raise DataError(
        f"step {step}: none of the {num_samples} samples is left to replace one whose video can't be read: "
        "mend the videos, or draw fewer a step (grpo.prompts_per_step, or sft.batch_size of a supervised run)"
    )


def _epoch_order(num_samples: int, prompts_per_step: int, epoch: int, seed: int) -> list[int]:
    """The permutation of an epoch, so ordered that a batch straddling its start repeats no sample.

    Samples in the last, incomplete batch of the epoch before are moved behind those that complete that batch.
    That leaves an epoch's own end as drawn if it is at least two batches long; shorter epochs have to be followed
    from the first.
    """
    if prompts_per_step > num_samples:
        return _permutation(num_samples, epoch, seed)
    first = max(epoch - 1, 0) if num_samples >= 2 * prompts_per_step else 0
    order = _permutation(num_samples, first, seed)
    for following in range(first + 1, epoch + 1):
        num_carried = following * num_samples % prompts_per_step
        carried = set(order[num_samples - num_carried :])
        drawn = _permutation(num_samples, following, seed)
        fresh = (idx for idx in drawn if idx not in carried)
        head = list(islice(fresh, -num_carried % prompts_per_step))
        chosen = set(head)
        order = head + [idx for idx in drawn if idx not in chosen]
    return order


def _permutation(num_samples: int, epoch: int, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng((seed, _EPOCHS, epoch)).permutation(num_samples).tolist()
    return order
