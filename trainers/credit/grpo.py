"""GRPO: the return of an episode relative to the other episodes of its group."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import INVALID_ACTION, Turns, check_range, settle
from agentgym.types import Group

__all__ = ["GRPO"]

PAPER = {"over": "trajectories", "lone": "zero", "penalty": "episode"}
CODE = {"over": "turns", "lone": "raw", "penalty": "local"}


@dataclass(frozen=True)
class GRPO:
    """Group-relative policy optimization (arXiv 2402.03300, section 4.1.2).

    Symbols: R_i return of episode i, G counted episodes of the group.
    Formula: A_i = (R_i - mean_G R) / (std_G R + eps), for every token of episode i; ddof 1.
    Dr. GRPO (arXiv 2503.20783) is `std=False`: A_i = R_i - mean_G R.
    Checked against: `compute_grpo_outcome_advantage` of verl-agent and of verl 0.5.0.
    Degenerate: one counted member, or equal returns: zeros. All members invalid: zeros.

    `compat="verl-agent"` (and `"verl"`) sets what the authors' code does instead: mean and std are
    over turns, so an episode of ten turns counts ten times (`over="turns"`); a group with a single
    turn keeps its raw return (`lone="raw"`); a penalty for an invalid action stays with its turn
    (`penalty="local"`). A field that is given wins over the preset.

    Attributes:
        std: whether to divide by the standard deviation.
        eps: added to the standard deviation.
        score: what a turn is scored by: the return of its episode, or its own reward only.
        over: what mean and std are over: one score per trajectory (the mean over its turns), every
            turn, or the first turn of every trajectory (a switch of verl-agent).
        lone: what a group whose statistics are over one score gives: zeros, or the raw score.
        penalty: whether a penalty for an invalid action is part of the episode's return.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0, 0, 1], [0, 0]])
    >>> for episode in GRPO(std=False)(group):
    ...     print([float(turn[0][0]) for turn in episode])
    [0.5, 0.5, 0.5]
    [-0.5, -0.5]
    >>> for episode in GRPO(std=False, compat="verl-agent")(group):  # mean over 5 turns: 0.6
    ...     print([round(float(turn[0][0]), 3) for turn in episode])
    [0.4, 0.4, 0.4]
    [-0.6, -0.6]
    """

    std: bool = True
    eps: float = 1e-6
    score: Literal["episode", "turn"] = "episode"
    over: Literal["trajectories", "turns", "first_turns"] | None = None
    lone: Literal["zero", "raw"] | None = None
    penalty: Literal["episode", "local"] | None = None
    compat: Literal["paper", "verl", "verl-agent"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "verl": CODE, "verl-agent": CODE})
        check_range(self, "eps", 0.0, 1.0)

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
        return turns.widen(
            turns.relative_scores(
                scores_N, self.over, scale=self.std, eps=self.eps, lone=self.lone or "zero"
            )
        )
