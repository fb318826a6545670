"""GiGPO: GRPO over episodes, plus the same among turns that were taken in the same state."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import (
    INVALID_ACTION,
    Ints,
    Turns,
    check_range,
    relative,
    settle,
)
from agentgym.types import Group

__all__ = ["GiGPO"]

PAPER = {"over": "trajectories", "lone": "zero", "penalty": "episode", "order": "canonical"}
CODE = {"over": "turns", "lone": "raw", "penalty": "local", "order": "rows"}


@dataclass(frozen=True)
class GiGPO:
    """Group-in-group policy optimization (arXiv 2505.10978, equations 3 and 5 to 8).

    Symbols: R_i return and T_i turns of episode i, r_{i,t} reward and s_{i,t} state of its turn t.
    Episode level (3): A^E_i = (R_i - mean_G R) / F, with F = std + eps (ddof 1) or F = 1.
    Turn level (5-7): R_{i,t} = sum_{k>=t} gamma^(k-t) r_{i,k}; turns of the group in equal states,
    across episodes and across time in one episode, form an anchor group S, in which
    A^S_{i,t} = (R_{i,t} - mean_S R) / F. Together (8): A_{i,t} = A^E_i + omega A^S_{i,t}.
    Checked against: `core_gigpo.py` of verl-agent.
    Degenerate: an anchor group of one turn (and a turn whose state is unknown) has A^S = 0; one
    counted member, or equal returns everywhere: zeros; all members invalid: zeros.

    `compat="verl-agent"` sets what the authors' code does instead: episode statistics over turns,
    so an episode of ten turns counts ten times (`over="turns"`); a group with a single turn keeps
    its raw return (`lone="raw"`); a penalty for an invalid action is subtracted from the score and
    from the already discounted return of its own turn alone (`penalty="local"`); similar states
    are clustered in the order of turns (`order="rows"`). A field that is given wins over the
    preset. Not reproduced: the code pads a batch by repeating random turns.

    Attributes:
        omega: weight of the turn level; 0 is GRPO.
        gamma: discount of the turn returns.
        scale: F of both levels: the standard deviation, or 1.
        eps: added to the standard deviation.
        anchors: states are the same if their `state_key` is equal, or, with "similar", if their
            observations are texts whose similarity (`difflib`) reaches the threshold: a greedy
            clustering against the first member of each cluster, which is slow for long texts.
        threshold: of that similarity, from 0 to 1.
        over: episode statistics over one return per trajectory, every turn, or the first turn
            (with its penalty) of every trajectory (a switch of verl-agent).
        lone: what a group whose episode statistics are over one score gives.
        penalty: whether a penalty for an invalid action is part of the returns.
        order: in which texts are clustered: "canonical" (sorted) does not depend on the order of
            members; "rows" does, and counts popular letters out as `difflib` does by default.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(
    ...     rewards=[[0, 1], [0, 0, 0]], states=[["hall", "kitchen"], ["hall", "bath", "kitchen"]]
    ... )
    >>> for episode in GiGPO(gamma=0.5, scale="none")(group):
    ...     print([float(turn[0][0]) for turn in episode])
    [0.75, 1.0]
    [-0.75, -0.5, -1.0]

    The first turns share the hall: returns 0.5 and 0, so +-0.25 beside the episode's +-0.5.
    """

    omega: float = 1.0
    gamma: float = 0.95
    scale: Literal["std", "none"] = "std"
    eps: float = 1e-6
    anchors: Literal["exact", "similar"] = "exact"
    threshold: float = 0.95
    over: Literal["trajectories", "turns", "first_turns"] | None = None
    lone: Literal["zero", "raw"] | None = None
    penalty: Literal["episode", "local"] | None = None
    order: Literal["canonical", "rows"] | None = None
    compat: Literal["paper", "verl-agent"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "verl-agent": CODE})
        check_range(self, "omega", 0.0, 1e6)
        check_range(self, "gamma", 0.0, 1.0)
        check_range(self, "eps", 0.0, 1.0)
        check_range(self, "threshold", 0.0, 1.0)

    @property
    def needs(self) -> frozenset[str]:
        """State keys, unless texts are compared."""
        return frozenset({"state_key"} if self.anchors == "exact" else ())

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group, local=INVALID_ACTION if self.penalty == "local" else None)
        if len(turns.members) == 1 and self.lone == "zero":
            return turns.widen(np.zeros(len(turns.rewards_N)))
        anchor_N = self._anchors(turns)
        scale, lone = self.scale == "std", self.lone or "zero"
        episode_N = turns.relative_scores(
            turns.episode_scores_N, self.over, scale=scale, eps=self.eps, lone=lone
        )
        turn_N = relative(
            turns.discounted_returns_N(self.gamma), anchor_N, scale=scale, eps=self.eps
        )
        sizes = np.bincount(anchor_N)
        return turns.widen(
            episode_N + self.omega * turn_N,
            anchors=len(sizes),
            singleton_turns=int((sizes == 1).sum()),
        )

    def _anchors(self, turns: Turns) -> Ints:
        """Return which anchor group each turn belongs to."""
        taken = [t for m in turns.members for t in turns.group.trajectories_G[m].turns]
        if self.anchors == "exact":
            # A state that is unknown equals no other, not even another unknown one.
            keys = [n if t.state_key is None else t.state_key for n, t in enumerate(taken)]
        else:
            texts = [t.observation.text for t in taken]
            cluster = _clusters(
                texts if self.order == "rows" else sorted(texts),
                self.threshold,
                autojunk=self.order == "rows",
            )
            keys = [cluster[text] for text in texts]
        seen: dict[str | int, int] = {}
        return np.array([seen.setdefault(key, len(seen)) for key in keys], np.int64)


def _clusters(texts: Iterable[str], threshold: float, *, autojunk: bool) -> dict[str, int]:
    """Cluster texts greedily: each joins the first cluster whose first text is similar enough."""
    first: list[str] = []
    cluster: dict[str, int] = {}
    for text in texts:
        if text in cluster:  # equal texts find the same cluster
            continue
        for index, other in enumerate(first):
            matcher = difflib.SequenceMatcher(None, text, other, autojunk=autojunk)
            # The two quick ratios are upper bounds of the exact one.
            if (
                matcher.real_quick_ratio() >= threshold
                and matcher.quick_ratio() >= threshold
                and matcher.ratio() >= threshold
            ):
                cluster[text] = index
                break
        else:
            cluster[text] = len(first)
            first.append(text)
    return cluster
