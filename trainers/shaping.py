"""What a run makes of its environment's rewards: the stage between annotation and credit."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from agentgym.rewards.otc import Fewest
from agentgym.trainers.config import RewardConfig
from agentgym.trainers.economy import ToolEconomy
from agentgym.trainers.monitor import parts_never_seen
from agentgym.trainers.prepare import missing_parts, shape_rewards, shown_parts
from agentgym.types import JSON, Group


class Shaping:
    """The section [reward] of a recipe at work; what it remembers is part of every checkpoint."""

    def __init__(
        self,
        config: RewardConfig,
        economy: ToolEconomy | None,
        warn: Callable[[str], None],
        credited: Collection[str] = (),
    ) -> None:
        """Begin with an empty memory.

        Args:
            config: the section. economy: what it says about tool calls.
            warn: is told what the user should know.
            credited: the parts of rewards that credit tells apart.
        """
        self._config, self._economy, self._warn = config, economy, warn
        self._credited, self._told = credited, not credited
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
        if not self._told:  # credit sees what the recipe adds, too
            self._told = True
            if said := parts_never_seen(self._credited, shown_parts(changed)):
                self._warn(said)
        return changed

    def state(self) -> dict[str, JSON]:
        """Return what it remembers."""
        fewest: dict[str, JSON] = dict(self._fewest.by_task)
        return {"checked": self._checked, "told": self._told, "fewest_calls": fewest}

    def load(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` returned."""
        self._checked, self._told = state["checked"], state["told"]
        self._fewest = Fewest(state["fewest_calls"])
