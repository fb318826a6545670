"""Flow-GRPO: the outcome of a multi-module agent, for every call of the module in training."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages, Floats
from agentgym.trainers.credit.common import Turns, check_range, relative, settle
from agentgym.types import Group

__all__ = ["FlowGRPO"]

PAPER = {"over": "trajectories", "lone": "zero", "precision": "float64"}
CODE = {"over": "calls", "lone": "raw", "precision": "bfloat16"}


@dataclass(frozen=True)
class FlowGRPO:
    """Flow-GRPO of AgentFlow (arXiv 2510.05592, equations 5 and 7).

    Symbols: R_i outcome of rollout i, G counted rollouts, a_i^t what the planner said in turn t.
    Formula (7): A_i^t = (R_i - mean_G R) / (std_G R + eps), ddof 1, the same for all turns of
    rollout i and all tokens of a_i^t: the outcome is broadcast, nothing is discounted. Executor,
    verifier and generator are frozen: their calls are not trainable and get 0.
    Loss (5): mean over tokens of a call, calls, rollouts; with a planner whose every call is fresh,
    `seq-mean-token-mean` is this but for rollouts of unequal length.
    Checked against: AgentFlow's batches and `compute_grpo_outcome_advantage` of verl 0.5.0.
    Degenerate: one counted member, or equal outcomes: zeros. All members invalid: zeros.

    `compat="agentflow"` sets what the authors' code does instead: mean and deviation are over
    planner calls, so a rollout of three turns counts three times (`over="calls"`); a group with a
    single call keeps its raw outcome (`lone="raw"`); every number on the way is rounded to bfloat16
    (8 bits), the mean included, so that the advantages of a group need not add up to 0. A field
    that is given wins over the preset. Not reproduced: rows are dropped to fill batches evenly,
    and rollouts without a verdict count as outcome 0.

    Attributes:
        std: whether to divide by the standard deviation.
        eps: added to the standard deviation.
        over: what mean and deviation are over: one outcome per rollout, or per trainable call.
        lone: what a group whose statistics are over one outcome gives: zeros, or the raw outcome.
        precision: number format of outcomes, statistics and advantages.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0, 1], [0]])
    >>> for scheme in (FlowGRPO(), FlowGRPO(compat="agentflow")):  # means: 1/2, and 2/3 over calls
    ...     print([[round(float(t[0][0]), 5) for t in episode] for episode in scheme(group)])
    [[0.70711, 0.70711], [-0.70711]]
    [[0.57422, 0.57422], [-1.15625]]
    """

    std: bool = True
    eps: float = 1e-6
    over: Literal["trajectories", "calls"] | None = None
    lone: Literal["zero", "raw"] | None = None
    precision: Literal["float64", "bfloat16"] | None = None
    compat: Literal["paper", "agentflow"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "agentflow": CODE})
        check_range(self, "eps", 0.0, 1.0)

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but rewards."""
        return frozenset()

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group)
        scores_N = turns.episode_scores_N
        if len(turns.members) == 1 and self.lone == "zero":
            return turns.widen(np.zeros(len(scores_N)))
        sample_M = scores_N[list(turns.starts[:-1])]
        if self.over == "calls":
            taken = [t for m in turns.members for t in group.trajectories_G[m].turns]
            sample_M = np.repeat(scores_N, [sum(c.trainable for c in t.calls) for t in taken])
        if self.precision == "bfloat16":
            return turns.widen(self._in_bfloat16(scores_N, sample_M))
        zeros_N, zeros_M = np.zeros(len(scores_N), np.int64), np.zeros(len(sample_M), np.int64)
        values_N = relative(
            scores_N,
            zeros_N,
            sample=(sample_M, zeros_M),
            scale=self.std,
            eps=self.eps,
            lone=self.lone or "zero",
        )
        return turns.widen(values_N)

    def _in_bfloat16(self, scores_N: Floats, sample_M: Floats) -> Floats:
        """Return the same with every result rounded, the mean and the deviation included."""
        scores_N, sample_M = to_bfloat16(scores_N), to_bfloat16(sample_M)
        mean, std = np.zeros(1), np.ones(1)
        if len(sample_M) > 1:
            mean = to_bfloat16(sample_M.mean(keepdims=True))
            std = to_bfloat16(sample_M.std(ddof=1, keepdims=True))
        elif self.lone == "zero" and len(sample_M):
            mean = sample_M
        out_N = to_bfloat16(scores_N - mean)
        return to_bfloat16(out_N / to_bfloat16(std + self.eps)) if self.std else out_N


def to_bfloat16(values: Floats) -> Floats:
    """Return finite values rounded to bfloat16 by way of float32, ties to even.

    >>> to_bfloat16(np.array([1 / 3, -1.1546986])).tolist()
    [0.333984375, -1.15625]
    """
    bits = values.astype(np.float32).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
