"""What a model says about every trained token, back on the trajectory: notes of one number a token.

Axes: T sampled tokens of a trajectory, over all calls of all turns in order; B rows of a batch,
S positions of a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agentgym.trainers.credit.base import widen_tokens
from agentgym.trainers.credit.common import trained_mask, trained_tokens
from agentgym.trainers.pack import Batch, collate, microbatches, pack
from agentgym.types import Group, Trajectory


def note_tokens(
    groups: Sequence[Group],
    name: str,
    numbers: Callable[[Batch], npt.NDArray[Any]],
    *,
    max_tokens: int,
    frozen: str = "zero",
) -> list[Group]:
    """Return the groups with a note of one number per sampled token; invalid members go without.

    Args:
        groups: what was collected.
        name: of the note.
        numbers: gives the numbers (B, S) of a batch; they are read at trained tokens only.
        max_tokens: positions per batch.
        frozen: what tokens of calls that are not trained on get, since other models may have
            sampled them: "zero", or the number of the trained token that follows ("next"; 0 after
            the last).
    """
    # Rows know no call or turn. So they carry the place of each token instead of an advantage.
    places = [
        widen_tokens(
            g, [np.arange(trained_tokens(t).sum(), dtype=np.float64) for t in g.trajectories_G]
        )
        for g in groups
    ]
    found = {
        (g, m): np.zeros(int(trained_tokens(t).sum()))
        for g, group in enumerate(groups)
        for m, t in enumerate(group.trajectories_G)
    }
    for rows in microbatches(pack(groups, places), max_tokens):
        numbers_BS = numbers(collate(rows))
        for row, numbers_S in zip(rows, numbers_BS, strict=True):
            at = row.advantages_S[row.mask_S].astype(np.int64)  # float32 is exact up to 2**24
            found[row.member][at] = numbers_S[: len(row)][row.mask_S]

    def noted(trajectory: Trajectory, trained_T: npt.NDArray[np.float64]) -> Trajectory:
        if not trajectory.valid:
            return trajectory
        mask_T = trained_mask(trajectory)
        values_T = np.append(trained_T, 0.0)[np.cumsum(mask_T) - mask_T]
        if frozen == "zero":
            values_T = np.where(mask_T, values_T, 0.0)
        return replace(trajectory, notes={**trajectory.notes, name: tuple(values_T.tolist())})

    return [
        replace(
            group,
            trajectories_G=tuple(noted(t, found[g, m]) for m, t in enumerate(group.trajectories_G)),
        )
        for g, group in enumerate(groups)
    ]
