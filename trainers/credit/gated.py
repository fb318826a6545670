"""G-RA: rewards of lower priority count only where those above reached their gates."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import Advantages, own_normalisation, parts_named_by
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import Turns, settle
from agentgym.types import Group, Trajectory, Turn

__all__ = ["Gated"]


@dataclass(frozen=True)
class Channel:
    """One channel of reward.

    Attributes:
        name: a name in `Turn.reward_parts`; "rest" is what has no name there, "*" all names that
            no other channel has.
        gate: what its sum over an episode must reach for the channels below it to count; None: it
            holds nothing back.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    gate: float | None = None


@dataclass(frozen=True)
class Gated:
    """Gated reward accumulation, G-RA (arXiv 2508.10548; definition as in its abstract).

    Symbols: channels 1, 2, ... by falling priority, R_j the sum of channel j over an episode, v_j
    its gate. Formula: R = sum_i R_i prod_{j<i} 1[R_j >= v_j]: the rewards of a channel become 0
    unless every channel above reached its gate (never negative instead). This happens to the
    rewards of a trajectory, before anything is normalised; `then` turns them into advantages.
    Direct accumulation, R = sum_i R_i, is `accumulation="direct"`, the baseline of the paper.
    Checked against: the formula, computed independently for both comparisons (no code is public).
    Degenerate: no gate is reached in a group: the top channel alone, e.g. outcome-only GRPO; a
    channel that no turn has sums to 0. Else as `then`.

    What no channel names always counts. By default the parts of a reward named "success" come
    first, and all other named parts count in an episode that earned any of it.

    Attributes:
        channels: by falling priority.
        compare: whether a gate is reached by ">=" or must be passed, ">".
        accumulation: "gated", or "direct" to ignore all gates.
        then: the scheme that sees the gated rewards: a name or a sum of names as in `combine`, a
            table with parameters, or a scheme.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]])
    >>> def name_parts(turn):
    ...     name = "success" if turn.reward == 1 else "tidy"
    ...     return replace(turn, reward_parts={name: turn.reward})
    >>> members = [replace(t, turns=tuple(map(name_parts, t.turns))) for t in group.trajectories_G]
    >>> group = replace(group, trajectories_G=tuple(members))
    >>> [t.episode_return for t in Gated().gate(group).trajectories_G]
    [1.5, 0.0, 0.0]
    >>> for how in ("gated", "direct"):
    ...     scheme = Gated(accumulation=how, then="rloo")
    ...     print([round(float(episode[0][0][0]), 3) for episode in scheme(group)])
    [1.5, -0.75, -0.75]
    [1.25, -0.25, -1.0]
    """

    channels: tuple[Channel, ...] = (Channel("success", gate=1e-6), Channel("*"))
    compare: Literal[">=", ">"] = ">="
    accumulation: Literal["gated", "direct"] = "gated"
    then: Any = "grpo"

    def __post_init__(self) -> None:
        settle(self)
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise ConfigError(f"Gated: each channel has one place in the order, got {names}")
        object.__setattr__(self, "then", make_scheme(self.then, where="credit.then"))

    @property
    def needs(self) -> frozenset[str]:
        """Rewards of single turns, and what the scheme needs that sees them."""
        needs: frozenset[str] = self.then.needs
        return needs | {"turn_reward"}

    @property
    def parts(self) -> frozenset[str]:
        """The parts of the reward that have a channel of their own."""
        own = {channel.name for channel in self.channels} - {"*", "rest"}
        return parts_named_by(self.then) | own

    @property
    def normalise(self) -> str:
        """That of the scheme that sees the rewards."""
        return own_normalisation(self.then)

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        Turns.of(group)  # refuses what cannot be summed
        answer: Advantages = self.then(self.gate(group))
        return answer

    def gate(self, group: Group) -> Group:
        """Return the group with the rewards that count, and their parts."""
        if self.accumulation == "direct":
            return group
        members = tuple(self._gated(t) if t.valid else t for t in group.trajectories_G)
        return replace(group, trajectories_G=members)

    def closed(self, trajectory: Trajectory) -> frozenset[str]:
        """Return the channels that do not count in an episode."""
        for i, channel in enumerate(self.channels):
            total = sum(self._amount(turn, channel.name) for turn in trajectory.turns)
            gate = channel.gate
            if gate is not None and not (total > gate or (total == gate and self.compare == ">=")):
                return frozenset(below.name for below in self.channels[i + 1 :])
        return frozenset()

    def _amount(self, turn: Turn, name: str) -> float:
        match name:
            case "rest":
                return turn.reward - sum(turn.reward_parts.values())
            case "*":
                return sum(turn.reward_parts[part] for part in self._unnamed(turn))
        return turn.reward_parts.get(name, 0.0)

    def _unnamed(self, turn: Turn) -> list[str]:
        names = {channel.name for channel in self.channels}
        return [part for part in turn.reward_parts if part not in names]

    def _gated(self, trajectory: Trajectory) -> Trajectory:
        closed = self.closed(trajectory)
        if not closed:
            return trajectory

        def gated(turn: Turn) -> Turn:
            gone = closed | set(self._unnamed(turn) if "*" in closed else ())
            parts = {name: part for name, part in turn.reward_parts.items() if name not in gone}
            rest = 0.0 if "rest" in closed else self._amount(turn, "rest")
            return replace(turn, reward=sum(parts.values()) + rest, reward_parts=parts)

        return replace(trajectory, turns=tuple(map(gated, trajectory.turns)))
