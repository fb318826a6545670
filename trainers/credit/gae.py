"""GAE: PPO's advantages from a critic's values, token by token."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentgym.trainers.credit.base import Advantages, Floats
from agentgym.trainers.credit.common import (
    Turns,
    check_range,
    discounted,
    note,
    settle,
    token_rewards,
    trained_mask,
)
from agentgym.types import Group, Trajectory

__all__ = ["GAE"]


@dataclass(frozen=True)
class GAE:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16), as in PPO on tokens.

    Symbols: V_t value before trained token t of a trajectory, r_t its reward (a turn's reward
    stands on its last trained token), V = 0 after the last. Formula: delta_t = r_t + gamma V_{t+1}
    - V_t; A_t = sum_{j>=t} (gamma lam)^(j-t) delta_j. What stands between two trained tokens (an
    observation, a frozen call) takes no time. PPO whitens them over the tokens of the batch, which
    is the stage after this one: Normalise("token").
    Checked against: `compute_gae_advantage_return` of verl 0.5.0 and, with `compat="verl-agent"`,
    of verl-agent, where tokens of frozen calls are steps with values of their own.
    Degenerate: nothing is compared, so a single member has a signal; values that predict every
    return exactly: zeros. All members invalid: zeros. An episode that was cut off ends there.

    Attributes:
        gamma: discount per token.
        lam: how far rewards reach back past the critic; 1: A_t is the return minus V_t.
        frozen: whether tokens of calls that are not trained are skipped, or steps like any other.
        compat: whose code to follow.
        normalise: the scope of the stage after this one, unless a recipe says another.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0, 1], [0, 0]], notes={"value": [[0.5, 0.75], [0.5, 0.25]]})
    >>> [[float(turn[0][0]) for turn in episode] for episode in GAE()(group)]
    [[0.5, 0.25], [-0.5, -0.25]]
    >>> [[float(turn[0][0]) for turn in episode] for episode in GAE(lam=0.0)(group)]
    [[0.25, 0.25], [-0.25, -0.25]]
    >>> [[float(turn[0][0]) for turn in episode] for episode in GAE(lam=0.0).targets(group)]
    [[0.75, 1.0], [0.25, 0.0]]
    """

    normalise: ClassVar[str] = "token"
    gamma: float = 1.0
    lam: float = 1.0
    frozen: Literal["skip", "step"] | None = None
    compat: Literal["paper", "verl", "verl-agent"] = "paper"

    def __post_init__(self) -> None:
        skip = {"frozen": "skip"}
        settle(self, {"paper": skip, "verl": skip, "verl-agent": {"frozen": "step"}})
        check_range(self, "gamma", 0.0, 1.0)
        check_range(self, "lam", 0.0, 1.0)

    @property
    def needs(self) -> frozenset[str]:
        """A value per token."""
        return frozenset({"value"})

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group, before they are normalised over the batch."""
        turns = Turns.of(group)
        return turns.widen_tokens([a for a, _ in self._estimates(turns)])

    def targets(self, group: Group) -> Advantages:
        """Return what the critic is to learn, A_t + V_t, in the shape of advantages."""
        turns = Turns.of(group)
        return turns.widen_tokens([a + v for a, v in self._estimates(turns)])

    def _estimates(self, turns: Turns) -> list[tuple[Floats, Floats]]:
        """Return advantages and values of each counted member's trained tokens (M, T)."""
        return [self._of_one(turns.group.trajectories_G[m]) for m in turns.members]

    def _of_one(self, trajectory: Trajectory) -> tuple[Floats, Floats]:
        trained = trained_mask(trajectory)
        values = note(trajectory, "value", (len(trained),), "one per sampled token of all calls")
        step = trained if self.frozen == "skip" else np.ones(len(trained), np.bool_)
        # How many steps each turn has.
        sampled_K = [sum(len(c.sample_ids) for c in turn.calls) for turn in trajectory.turns]
        ends_K = np.cumsum([0, *sampled_K])
        counts_K = np.diff(np.concatenate([[0], np.cumsum(step)])[ends_K])
        rewards = token_rewards(counts_K, np.array(trajectory.rewards_K))
        value = values[step]
        delta = rewards + self.gamma * np.append(value[1:], 0.0)[: len(value)] - value
        kept = trained[step]
        return discounted(delta, self.gamma * self.lam)[kept], value[kept]
