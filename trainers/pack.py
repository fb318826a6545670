"""From trajectories to training rows: exact token ids, never tokenised again.

A row is one token sequence as the backend saw it: the calls of one role in order, each call being
the prompt tokens that were added and the tokens that were sampled. A `fresh` call starts a new row.
Trajectories that a failure of the platform spoiled are left out.

Axes: B rows of a batch, S positions of a row, G trajectories of a group, K turns, C calls of a
turn, T sampled tokens of a call.
"""

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from agentgym.types import Call, Group, Trajectory

Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

SizedT = TypeVar("SizedT", bound=Sized)

AdvantagesKCT: TypeAlias = Sequence[Sequence[npt.NDArray[np.float64]]]
"""Of one trajectory: a number for every sampled token of every call of every turn."""


@dataclass(frozen=True, slots=True)
class Row:
    """One token sequence. Every array has one entry per position, about the token that is there."""

    ids_S: Ids
    mask_S: Mask  #: whether the token was sampled by a trainable call
    logprobs_S: Floats  #: what the backend said, in nats at the sampling temperature; 0 elsewhere
    advantages_S: Floats  #: 0 outside the mask
    member: tuple[int, int]  #: which group, and which of its trajectories

    def __len__(self) -> int:
        return len(self.ids_S)

    @property
    def tokens(self) -> int:
        """How many of its tokens are trained on."""
        return int(self.mask_S.sum())

    @property
    def silent(self) -> bool:
        """Whether all advantages are zero: a policy gradient would not move."""
        return not self.advantages_S.any()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows side by side, padded on the right. Padding is never in the mask."""

    ids_BS: Ids
    mask_BS: Mask
    logprobs_BS: Floats
    advantages_BS: Floats


def pack(groups: Sequence[Group], advantages: Sequence[Sequence[AdvantagesKCT]]) -> list[Row]:
    """Return the rows of all valid trajectories, in order.

    Args:
        groups: what was collected.
        advantages: per group and trajectory, the numbers of each sampled token (GKCT).

    Raises:
        ValueError: the advantages do not have the shape of the groups' sampled tokens.
    """
    if len(groups) != len(advantages):
        raise ValueError(f"{len(groups)} groups but advantages for {len(advantages)}")
    rows: list[Row] = []
    for g, (group, values_GKCT) in enumerate(zip(groups, advantages, strict=True)):
        if len(group.trajectories_G) != len(values_GKCT):
            raise ValueError(
                f"group {group.task}: {len(group.trajectories_G)} trajectories "
                f"but advantages for {len(values_GKCT)}"
            )
        for member, trajectory in enumerate(group.trajectories_G):
            if trajectory.valid:
                rows.extend(_rows(trajectory, values_GKCT[member], (g, member)))
    return rows


def pack_demonstrations(trajectories: Iterable[Trajectory]) -> list[Row]:
    """Return the rows of trajectories to imitate: every sampled token has advantage 1."""
    rows: list[Row] = []
    for index, trajectory in enumerate(trajectories):
        if trajectory.valid:
            ones = [[np.ones(len(c.sample_ids)) for c in turn.calls] for turn in trajectory.turns]
            rows.extend(_rows(trajectory, ones, (index, 0)))
    return rows


def microbatches(rows: Sequence[SizedT], max_tokens: int) -> list[list[SizedT]]:
    """Split rows into batches of at most `max_tokens` positions, padding included.

    Rows of similar length share a batch. A row longer than the budget has a batch of its own.
    The result depends on the rows and their order alone.
    """
    batches: list[list[SizedT]] = []
    for row in sorted(rows, key=len, reverse=True):
        # The first row of a batch is its longest, so it sets the width.
        if not batches or len(batches[-1][0]) * (len(batches[-1]) + 1) > max_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches


def collate(rows: Sequence[Row], pad_id: int = 0) -> Batch:
    """Return rows as rectangular arrays (B, S), padded on the right."""
    shape = len(rows), max(map(len, rows))
    ids_BS, mask_BS = np.full(shape, pad_id, np.int64), np.zeros(shape, np.bool_)
    logprobs_BS, advantages_BS = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for b, row in enumerate(rows):
        ids_BS[b, : len(row)] = row.ids_S
        mask_BS[b, : len(row)] = row.mask_S
        logprobs_BS[b, : len(row)] = row.logprobs_S
        advantages_BS[b, : len(row)] = row.advantages_S
    return Batch(ids_BS, mask_BS, logprobs_BS, advantages_BS)


def _rows(
    trajectory: Trajectory, values_KCT: AdvantagesKCT, member: tuple[int, int]
) -> Iterator[Row]:
    if len(values_KCT) != len(trajectory.turns):
        raise ValueError(f"{len(trajectory.turns)} turns but advantages for {len(values_KCT)}")
    open_rows: dict[str, _Builder] = {}
    for turn, values_CT in zip(trajectory.turns, values_KCT, strict=True):
        if len(values_CT) != len(turn.calls):
            raise ValueError(f"{len(turn.calls)} calls but advantages for {len(values_CT)}")
        for call, values_T in zip(turn.calls, values_CT, strict=True):
            if call.fresh or call.role not in open_rows:
                if done := open_rows.pop(call.role, None):
                    yield from done.row(member)
                open_rows[call.role] = _Builder()
            open_rows[call.role].add(call, values_T)
    for builder in open_rows.values():
        yield from builder.row(member)


class _Builder:
    """A row under construction."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.pieces: list[tuple[int, Call, npt.NDArray[np.float64]]] = []

    def add(self, call: Call, values_T: npt.NDArray[np.float64]) -> None:
        """Append one call."""
        if not len(call.sample_ids) == len(call.logprobs) == len(values_T):
            raise ValueError(
                f"a call of {call.role!r} has {len(call.sample_ids)} sampled tokens, "
                f"{len(call.logprobs)} log-probabilities and {len(values_T)} advantages"
            )
        self.ids.extend(call.prompt_ids)
        if call.trainable and not self.ids:  # a server by chat tells no tokens
            raise ValueError(f"a call of {call.role!r} has no prompt: nothing predicts its sample")
        if call.trainable:
            self.pieces.append((len(self.ids), call, values_T))
        self.ids.extend(call.sample_ids)

    def row(self, member: tuple[int, int]) -> Iterator[Row]:
        """Yield the row, unless nothing in it is trained on."""
        if not any(call.sample_ids for _, call, _ in self.pieces):
            return
        size = len(self.ids)
        mask_S, logprobs_S = np.zeros(size, np.bool_), np.zeros(size, np.float32)
        advantages_S = np.zeros(size, np.float32)
        for start, call, values_T in self.pieces:
            here = slice(start, start + len(call.sample_ids))
            mask_S[here], logprobs_S[here], advantages_S[here] = True, call.logprobs, values_T
        yield Row(np.array(self.ids, np.int64), mask_S, logprobs_S, advantages_S, member)
