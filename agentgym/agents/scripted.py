"""Players that need no model: the environment's own solution, chance, a list."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentgym.agents.base import Asking, Decision, Start, View
from agentgym.errors import ConfigError


class _Scripted:
    """A player that needs no model: a function from view to action."""

    needs: frozenset[str] = frozenset()

    def begin(self, start: Start) -> "_Playing":
        return _Playing(self, start)

    def choose(self, view: View, start: Start) -> str:
        raise NotImplementedError


class _Playing:
    def __init__(self, agent: _Scripted, start: Start) -> None:
        self.agent, self.start = agent, start

    def act(self, view: View) -> Asking:
        return Decision(self.agent.choose(view, self.start))
        yield  # a generator that never asks


@dataclass(frozen=True)
class GoldAgent(_Scripted):
    """Plays `env.gold()`; when that is used up, or unknown, does nothing."""

    needs = frozenset({"gold"})

    def choose(self, view: View, start: Start) -> str:
        """Return the next gold action."""
        gold = view.gold or ()
        return gold[view.turn] if view.turn < len(gold) else start.noop


@dataclass(frozen=True)
class NoopAgent(_Scripted):
    """Does nothing, every turn."""

    def choose(self, view: View, start: Start) -> str:
        """Return the environment's action for doing nothing."""
        return start.noop


@dataclass(frozen=True)
class ScriptedAgent(_Scripted):
    """Plays the given actions in order, then does nothing."""

    actions: Sequence[str] = ()

    def choose(self, view: View, start: Start) -> str:
        """Return the action of this turn."""
        return self.actions[view.turn] if view.turn < len(self.actions) else start.noop


@dataclass(frozen=True)
class RandomAgent(_Scripted):
    """Draws uniformly from the admissible commands, or random text where none are listed."""

    def choose(self, view: View, start: Start) -> str:
        """Draw an action."""
        return _random_action(np.random.Generator(np.random.Philox(view.seed)), view)


@dataclass(frozen=True)
class ExpertAgent(_Scripted):
    """Plays `env.expert()`; with probability `noise` a random action instead, but none of `never`.

    `never` is for admissible actions that teach nothing and cost much, such as asking for help.
    """

    noise: float = 0.0
    never: tuple[str, ...] = ()
    needs = frozenset({"expert"})

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"noise is a probability from 0 to 1, got {self.noise!r}")

    def choose(self, view: View, start: Start) -> str:
        """Return the expert's action, a random one, or nothing where there is no expert."""
        rng = np.random.Generator(np.random.Philox(view.seed))
        if self.noise and rng.random() < self.noise:
            return _random_action(rng, view, self.never)
        return start.noop if view.expert is None else view.expert


def _random_action(rng: np.random.Generator, view: View, never: Sequence[str] = ()) -> str:
    commands = view.info.get("admissible_commands") or ()
    admissible = [command for command in commands if command not in never]
    if admissible:
        return str(admissible[int(rng.integers(len(admissible)))])
    letters = list(string.ascii_lowercase + string.digits + "   ")
    return "".join(rng.choice(letters, size=int(rng.integers(1, 20))))
