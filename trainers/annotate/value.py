"""What PPO's critic expects before every token."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.trainers.credit.base import Policy
from agentgym.types import Group

__all__ = ["Value"]


@dataclass(frozen=True)
class Value:
    """Notes "value": what the critic expects before every sampled token.

    One number per sampled token of all calls: the value of the state before it. The critic
    (`agentgym.trainers.critic`) belongs to the run, which trains and saves it; the section
    `[critic]` of a recipe says how.
    """

    @property
    def provides(self) -> frozenset[str]:
        """Values."""
        return frozenset({"value"})

    @property
    def requires(self) -> frozenset[str]:
        """A critic, which the run then has."""
        return frozenset({"critic"})

    def __call__(self, groups: Sequence[Group], policy: Policy) -> list[Group]:
        """Return the groups with their notes; invalid members go without."""
        noted: list[Group] = policy.critic(groups)
        return noted
