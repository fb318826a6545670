"""REINFORCE++: returns of tokens without a critic, normalised over the whole batch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import Advantages, Floats
from agentgym.trainers.credit.common import (
    INVALID_ACTION,
    Turns,
    check_range,
    discounted,
    settle,
    token_rewards,
    trained_tokens,
)
from agentgym.types import Group

__all__ = ["ReinforcePP"]

PAPER = {"rows": "trajectories", "over": "trajectories", "lone": "zero", "penalty": "episode"}
CODE = {"rows": "turns", "over": "turns", "lone": "raw", "penalty": "local"}


@dataclass(frozen=True)
class ReinforcePP:
    """REINFORCE++ (arXiv 2501.03262), before the normalisation that belongs to it.

    Symbols: r_j reward of trained token j (a turn's reward stands on its last), R_i return of
    episode i. Formula: A_t = sum_{j>=t} gamma^(j-t) r_j. With `baseline="group"` (REINFORCE++-
    baseline): A = R_i - mean_G R for all tokens of episode i. Then over all tokens of the batch:
    (A - mean) / std, which is the stage after this one: Normalise("token").
    Checked against: `compute_reinforce_plus_plus_outcome_advantage` and `..._baseline_...` of
    verl-agent, together with that stage.
    Degenerate: without a baseline nothing is compared, so a group of one member has a signal; with
    it, one counted member gives zeros. All members invalid, or no rewards: zeros.

    `compat="verl-agent"` sets what the authors' code does instead: every turn is a token sequence
    of its own that ends with the return of the whole episode (`rows="turns"`); the baseline is a
    mean over turns; a lone turn keeps its raw return (`lone="raw"`); a penalty for an invalid
    action stays with its turn (`penalty="local"`). A field that is given wins over the preset.

    Attributes:
        baseline: what is subtracted: nothing, or the group's mean return.
        gamma: discount per token (not per turn); without a baseline only.
        rows: whether returns run on through the turns of a trajectory, or each turn stands alone.
        score: what a turn is scored by where it stands alone or has a baseline: the return of its
            episode, or its own reward only.
        over: what the baseline is a mean over: one score per trajectory (the mean over its turns),
            every turn, or the first turn of every trajectory.
        lone: what a baseline over one return gives: zeros, or the raw return.
        penalty: whether a penalty for an invalid action is part of the returns.
        compat: whose code to follow where it differs from the paper.
        normalise: the scope of the stage after this one, unless a recipe says another.

    >>> from agentgym.trainers.credit.common import example
    >>> from agentgym.trainers.normalise import Normalise
    >>> group = example(rewards=[[0, 1], [0, 0]])
    >>> [[float(turn[0][0]) for turn in episode] for episode in ReinforcePP(gamma=0.5)(group)]
    [[0.5, 1.0], [0.0, 0.0]]
    >>> [out] = Normalise("token")([group], [ReinforcePP()(group)])
    >>> [[round(float(turn[0][0]), 3) for turn in episode] for episode in out]
    [[0.866, 0.866], [-0.866, -0.866]]
    """

    normalise: ClassVar[str] = "token"
    baseline: Literal["none", "group"] = "none"
    gamma: float = 1.0
    rows: Literal["trajectories", "turns"] | None = None
    score: Literal["episode", "turn"] = "episode"
    over: Literal["trajectories", "turns", "first_turns"] | None = None
    lone: Literal["zero", "raw"] | None = None
    penalty: Literal["episode", "local"] | None = None
    compat: Literal["paper", "verl", "verl-agent"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "verl": CODE, "verl-agent": CODE})
        check_range(self, "gamma", 0.0, 1.0)
        if self.baseline == "group" and self.gamma != 1.0:
            raise ConfigError(
                f"ReinforcePP: with baseline='group' all tokens of an episode have the same "
                f"advantage, so gamma must be 1, got {self.gamma}"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but rewards."""
        return frozenset({"turn_reward"} if self.score == "turn" else ())

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group, before they are normalised over the batch."""
        turns = Turns.of(group, local=INVALID_ACTION if self.penalty == "local" else None)
        scores_N = turns.episode_scores_N if self.score == "episode" else turns.turn_scores_N
        if self.baseline == "group":
            if len(turns.members) == 1 and self.lone == "zero":
                return turns.widen(np.zeros(len(turns.rewards_N)))
            return turns.widen(
                turns.relative_scores(
                    scores_N, self.over, scale=False, eps=0.0, lone=self.lone or "zero"
                )
            )
        alone = self.rows == "turns"
        scores_N = scores_N if alone else turns.turn_scores_N
        values_MT: list[Floats] = []
        for member, start, end in zip(turns.members, turns.starts, turns.starts[1:], strict=False):
            counts_K, scores_K = trained_tokens(group.trajectories_G[member]), scores_N[start:end]
            if not alone:
                values_MT.append(discounted(token_rewards(counts_K, scores_K), self.gamma))
                continue
            pieces = [
                score * self.gamma ** np.arange(count - 1.0, -1.0, -1.0)
                for count, score in zip(counts_K.tolist(), scores_K.tolist(), strict=True)
            ]
            values_MT.append(np.concatenate(pieces))
        return turns.widen_tokens(values_MT)
