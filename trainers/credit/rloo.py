"""RLOO: the return of an episode minus the mean of the others."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import INVALID_ACTION, Turns, settle
from agentgym.types import Group

__all__ = ["RLOO"]

PAPER = {"over": "trajectories", "lone": "zero", "penalty": "episode"}
CODE = {"over": "turns", "lone": "raw", "penalty": "local"}


@dataclass(frozen=True)
class RLOO:
    """REINFORCE with a leave-one-out baseline (arXiv 2402.14740).

    Symbols: R_i return of episode i, n counted episodes of the group.
    Formula: A_i = R_i - mean_{j != i} R_j = n / (n - 1) (R_i - mean R), for all its tokens.
    The baseline does not contain episode i, so that the policy gradient is unbiased.
    Checked against: `compute_rloo_outcome_advantage` of verl-agent and of verl 0.5.0.
    Degenerate: one counted member, or equal returns: zeros. All members invalid: zeros.

    `compat="verl-agent"` (and `"verl"`) sets what their code does instead: n and the mean are over
    turns, so what is left out is one turn and not its episode; a group with a single turn
    keeps its raw return; a penalty for an invalid action stays with its turn. A field that is given
    wins over the preset.

    Attributes:
        score: what a turn is scored by: the return of its episode, or its own reward only.
        over: what n and the mean are over: trajectories, turns, or the first turn of each.
        lone: what a group with n = 1 gives: zeros, or the raw score.
        penalty: whether a penalty for an invalid action is part of the episode's return.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> for episode in RLOO()(example(rewards=[[0, 1], [0], [0]])):
    ...     print([float(turn[0][0]) for turn in episode])
    [1.0, 1.0]
    [-0.5]
    [-0.5]
    """

    score: Literal["episode", "turn"] = "episode"
    over: Literal["trajectories", "turns", "first_turns"] | None = None
    lone: Literal["zero", "raw"] | None = None
    penalty: Literal["episode", "local"] | None = None
    compat: Literal["paper", "verl", "verl-agent"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "verl": CODE, "verl-agent": CODE})

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but rewards."""
        return frozenset({"turn_reward"} if self.score == "turn" else ())

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group, local=INVALID_ACTION if self.penalty == "local" else None)
        scores_N = turns.episode_scores_N if self.score == "episode" else turns.turn_scores_N
        if len(turns.members) == 1 and self.lone == "zero":
            return turns.widen(np.zeros(len(scores_N)))
        n = len(scores_N) if self.over == "turns" else len(turns.members)
        centred_N = turns.relative_scores(
            scores_N, self.over, scale=False, eps=0.0, lone=self.lone or "zero"
        )
        return turns.widen(centred_N * (n / (n - 1) if n > 1 else 1.0))
