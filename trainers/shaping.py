"""What a run makes of its environment's rewards: the stage between annotation and credit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentgym.rewards.otc import Fewest
from agentgym.trainers.config import RewardConfig
from agentgym.trainers.economy import ToolEconomy
from agentgym.trainers.prepare import missing_parts, shape_rewards, shown_parts
from agentgym.types import JSON, Group


class Shaping:
    """The section [reward] of a recipe at work; what it remembers is part of every checkpoint."""

    def __init__(
        self, config: RewardConfig, economy: ToolEconomy | None, warn: Callable[[str], None]
    ) -> None:
        """Begin with an empty memory; `warn` is told what the user should know."""
        self._config, self._economy, self._warn = config, economy, warn
        self._wanted = set(config.parts)
        if economy is not None and economy.part != "*":
            self._wanted.add(economy.part)
        self._checked, self._fewest = not self._wanted, Fewest()

    def __call__(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups of an iteration with the rewards that are learned from.

        Raises:
            ConfigError: the recipe names parts, and the first rewards have none of them.
        """
        if not self._checked:
            missing, shown = missing_parts(groups, sorted(self._wanted)), shown_parts(groups)
            self._checked = bool(shown)
            if missing and shown:
                self._warn(
                    f"the section [reward] names {', '.join(missing)}, which no reward has had so "
                    f"far; there are {', '.join(sorted(shown))}"
                )
        changed = []
        for group in groups:
            if self._economy is not None:
                group, self._fewest = self._economy(group, self._fewest)
            changed.append(shape_rewards(group, self._config))
        return changed

    def state(self) -> dict[str, JSON]:
        """Return what it remembers."""
        return {"checked": self._checked, "fewest_calls": dict(self._fewest.by_task)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` returned."""
        self._checked, self._fewest = state["checked"], Fewest(state["fewest_calls"])
