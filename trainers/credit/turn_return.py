"""Turn returns: what followed a turn, discounted, relative to other turns of the group."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import Ints, Turns, check_range, relative, settle
from agentgym.types import Group

__all__ = ["TurnReturn"]


@dataclass(frozen=True)
class TurnReturn:
    """Discounted returns of dense turn rewards (arXiv 2505.10978, equation 5, with no anchors).

    Symbols: r_{i,k} reward of turn k of episode i. R_{i,t} = sum_{k>=t} gamma^(k-t) r_{i,k}.
    Formula: A_{i,t} = (R_{i,t} - mean_S R) / (std_S R + eps), ddof 1, for all tokens of the turn;
    S are all turns of the group ("group"), or those with the same number t ("turn_index", the
    turn level of arXiv 2602.12268 with gamma 0). "none" leaves R_{i,t} as it is.
    Checked against: plain loops; for gamma = 1 and a reward in the last turn, GRPO over turns; the
    returns of verl-agent's GiGPO; the turn level of CM2, which gives 0 where few reached a turn.
    Degenerate: one counted member, equal returns, or an index that only one member reached: 0.
    "none" compares nothing, so there a single member has a signal. All members invalid: zeros.

    Where the policy decides when to stop, both baselines are biased, "turn_index" more: who reaches
    turn t, and how many, is the policy's own doing, and the sample mean shrinks an advantage by
    (1 - 1/n_t) with an n_t that depends on it. "none" is exact and noisy.

    Attributes:
        gamma: discount per turn.
        baseline: what a return is compared with.
        std: whether to divide by the standard deviation; not for "none".
        eps: added to the standard deviation.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0, 1], [0, 0]])
    >>> for baseline in ("none", "group", "turn_index"):
    ...     scheme = TurnReturn(gamma=0.5, baseline=baseline, std=False)
    ...     print([[float(turn[0][0]) for turn in episode] for episode in scheme(group)])
    [[0.5, 1.0], [0.0, 0.0]]
    [[0.125, 0.625], [-0.375, -0.375]]
    [[0.25, 0.5], [-0.25, -0.5]]
    """

    gamma: float = 0.95
    baseline: Literal["group", "turn_index", "none"] = "group"
    std: bool = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        settle(self)
        check_range(self, "gamma", 0.0, 1.0)
        check_range(self, "eps", 0.0, 1.0)

    @property
    def needs(self) -> frozenset[str]:
        """Rewards of single turns."""
        return frozenset({"turn_reward"})

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group)
        returns_N = turns.discounted_returns_N(self.gamma)
        if self.baseline == "none":
            return turns.widen(returns_N)
        if len(turns.members) == 1:
            return turns.widen(np.zeros(len(returns_N)))
        sets_N: Ints = np.zeros(len(returns_N), np.int64)
        if self.baseline == "turn_index":
            sets_N = (
                np.arange(len(returns_N)) - np.array(turns.starts[:-1], np.int64)[turns.member_N]
            )
        return turns.widen(relative(returns_N, sets_N, scale=self.std, eps=self.eps))
