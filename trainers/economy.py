"""The economy of tool calls as a stage between rollout and credit; formulas: `rewards.otc`."""

from dataclasses import dataclass, replace
from typing import Literal

from agentgym.env import TextEnv
from agentgym.errors import ConfigError
from agentgym.rewards.otc import Fewest, grpo_economy, ppo_economy
from agentgym.trainers.config import TrainConfig
from agentgym.types import Group, Trajectory, Turn

TOOL_CALLS = "tool_calls"
"""The fact of a turn that says how many tool calls were carried out in it."""


@dataclass(frozen=True)
class ToolEconomy:
    """Makes a right answer worth more the fewer tool calls it took (arXiv 2504.14870).

    r = alpha r_tool r_correct: the named part of an episode's rewards, if its sum is above 0, is
    multiplied by alpha r_tool in every turn; otherwise it stays, so that no call makes a failure
    better. An answer is right if the environment says success, or, where it gives no verdict, if
    that sum is above 0. Invalid members are left alone.

    Attributes:
        variant: "otc-ppo", or "otc-grpo", which compares with the fewest calls of a right answer to
            the same task so far, this group included (as long as there is none, as "otc-ppo").
        c: how fast r_tool falls; the paper takes the most turns of an episode.
        alpha: its weight.
        part: of `Turn.reward_parts`; "*": the whole reward.
    """

    variant: Literal["otc-ppo", "otc-grpo"]
    c: float
    alpha: float = 1.0
    part: str = "outcome"

    def __call__(self, group: Group, fewest: Fewest) -> tuple[Group, Fewest]:
        """Return the group with other rewards, and what is known of its task then."""
        members = group.trajectories_G
        right = [tool_calls(t) for t in members if t.valid and self._right(t)]
        fewest = fewest.seen(group.task, right)
        changed = tuple(
            self._times(t, self.alpha * self._r_tool(t, group.task, fewest))
            if t.valid and self._amount(t) > 0
            else t
            for t in members
        )
        return replace(group, trajectories_G=changed), fewest

    def _r_tool(self, trajectory: Trajectory, task: str, fewest: Fewest) -> float:
        calls = tool_calls(trajectory)
        if self.variant == "otc-ppo" or task not in fewest.by_task:
            return ppo_economy(calls, self.c)
        return grpo_economy(calls, fewest.by_task[task], self.c)

    def _right(self, trajectory: Trajectory) -> bool:
        if trajectory.success is not None:
            return trajectory.success
        return self._amount(trajectory) > 0

    def _amount(self, trajectory: Trajectory) -> float:
        if self.part == "*":
            return trajectory.episode_return
        return sum(turn.reward_parts.get(self.part, 0.0) for turn in trajectory.turns)

    def _times(self, trajectory: Trajectory, factor: float) -> Trajectory:
        def of(turn: Turn) -> Turn:
            if self.part == "*":
                parts = {name: factor * value for name, value in turn.reward_parts.items()}
                return replace(turn, reward=factor * turn.reward, reward_parts=parts)
            if self.part not in turn.reward_parts:
                return turn
            value = turn.reward_parts[self.part]
            parts = {**turn.reward_parts, self.part: factor * value}
            return replace(turn, reward=turn.reward + (factor - 1) * value, reward_parts=parts)

        return replace(trajectory, turns=tuple(map(of, trajectory.turns)))


def tool_calls(trajectory: Trajectory) -> int:
    """Return how many tool calls were carried out in an episode; turns that do not say count 0."""
    counts = [turn.facts.get(TOOL_CALLS, 0) for turn in trajectory.turns]
    return sum(count for count in counts if isinstance(count, int))


def economy_of(config: TrainConfig, env: TextEnv) -> ToolEconomy | None:
    """Return what a recipe says about tool calls in an environment; None: nothing.

    Raises:
        ConfigError: the environment counts no tool calls, or there is no turn limit to take for c.
    """
    said = config.reward.tool_economy
    if said.name == "none":
        return None
    if TOOL_CALLS not in env.stated_facts:
        raise ConfigError(
            f"reward.tool_economy counts tool calls, but the environment {env.name!r} does not say "
            "how many a turn makes; choose one with tools, or tool_economy=none"
        )
    c = said.c or config.rollout.max_turns or env.max_turns
    if c is None:
        raise ConfigError(
            f"reward.tool_economy.c is by default the turn limit, and {env.name!r} has none; give "
            "it, or rollout.max_turns"
        )
    return ToolEconomy(said.name, float(c), said.alpha, said.part)
