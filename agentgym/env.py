"""The environment contract: a Gymnasium environment whose observations and actions are text.

An author subclasses `TextEnv` and writes two hooks, `begin` and `act`; the base class keeps the
Gymnasium protocol (seeding, order of calls, turn limit, checks on what the hooks return).
"""

import copy
import inspect
import math
import string
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast, final

import gymnasium
import numpy as np
from gymnasium.spaces import Space

from agentgym import registry
from agentgym.errors import (
    ConfigError,
    EnvClosed,
    EnvContractError,
    ResetNeeded,
    UnknownName,
)
from agentgym.types import JSON, Observation

Determinism = Literal["exact", "recorded", "none"]


class TextSpace(Space[str]):
    """The space of all strings (`gymnasium.spaces.Text` admits only a fixed set of characters).

    >>> "naïve\\n" in TextSpace(), 3 in TextSpace()
    (True, False)
    """

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=(), dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no flat array form."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw up to 40 printable characters; masks do not apply to text."""
        if mask is not None or probability is not None:
            raise ValueError("TextSpace.sample takes no mask and no probability")
        letters = list(string.ascii_letters + string.digits + string.punctuation + "   \nàß語")
        return "".join(self.np_random.choice(letters, size=int(self.np_random.integers(0, 40))))

    def contains(self, x: object) -> bool:
        """Whether x is a string."""
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)

    def __hash__(self) -> int:
        return hash(TextSpace)

    def __repr__(self) -> str:
        return "TextSpace()"


@dataclass(slots=True)
class Outcome:
    """What one action (or the beginning of an episode) brought about."""

    observation: str | Observation
    reward: float = 0.0
    terminated: bool = False  #: the task's verdict is in
    success: bool | None = None  #: that verdict; None while there is none
    truncated: bool = False  #: the harness stops here, without a verdict
    action_valid: bool | None = None  #: whether the action was one the environment understands
    reward_parts: dict[str, float] | None = None  #: named parts that `reward` is made of
    info: dict[str, Any] = field(default_factory=dict)  #: more for `info`, e.g. admissible_commands


class TextEnv(gymnasium.Env[str, str]):
    """A text environment of one agent. Subclasses write `begin` and `act`.

    Class data (all optional; the first line of the class docstring is the one-line summary):
        version: counts up whenever the same seed and actions may give another episode.
        instructions: what the agent is told once, before the first observation.
        tools: JSON schemas of the tools that the agent may call; read after every `reset`.
        presets: named sets of constructor options, e.g. sizes.
        max_turns: default turn limit; reaching it sets `truncated`. None: no limit.
        determinism: "exact": same seed and actions, same episode. "recorded": only together with a
            recording of what the outside said. "none": never.
        noop: the action that stands for doing nothing.
        stated_facts: names of facts that its turns state (`agentgym.types.Turn.facts`).
        rewards_turns: False where only the turn that ends an episode can have a reward, so that
            credit that needs rewards of turns is refused; an instance may know better.

    `info` after `reset` and `step` holds `success` and, where the environment knows them,
    `action_valid`, `reward_parts`, `messages` (the structured form of the observation),
    `admissible_commands`, `facts` (see `agentgym.types.Turn`).

    Attributes:
        name: the name by which `make` found it. options: the constructor options given to `make`.
        turns: actions taken in this episode.
    """

    version: ClassVar[int] = 0
    instructions: str = ""
    tools: tuple[Mapping[str, JSON], ...] = ()
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {}
    max_turns: int | None = None
    determinism: Determinism = "exact"  #: an instance may have its own, by its options
    noop: ClassVar[str] = ""
    stated_facts: ClassVar[frozenset[str]] = frozenset()
    rewards_turns: bool = True
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own form

    name: str = ""
    options: Mapping[str, JSON] = {}
    turns: int = 0
    _seeded: bool = False
    _phase: Literal["new", "running", "over", "closed"] = "new"
    _last_text: str = ""

    def __init__(self, *, max_turns: int | None = None, render_mode: str | None = None) -> None:
        """Set up; `max_turns` replaces the class's default limit.

        Raises:
            ConfigError: `max_turns` is not a positive whole number, or an unknown `render_mode`.
        """
        if max_turns is not None:
            if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
                raise ConfigError(
                    f"max_turns must be a whole number of at least 1, got {max_turns!r}"
                )
            self.max_turns = max_turns
        if render_mode not in (None, "ansi"):
            raise ConfigError(f"render_mode must be None or 'ansi', got {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = TextSpace()
        self.action_space = TextSpace()

    # What an author writes -------------------------------------------------------------------

    @abstractmethod
    def begin(self, options: Mapping[str, Any]) -> str | Observation | Outcome:
        """Start an episode, drawing only from `self.np_random`; return the first observation."""

    @abstractmethod
    def act(self, action: str) -> Outcome:
        """Carry out one action. A mistake of the agent is an observation, never an exception."""

    def state_key(self) -> str | None:
        """Return the canonical identity of the present state, or None: comparable with nothing.

        Equal keys must mean equal futures: no step counter, no clock, no order of admissible
        actions. Step-level credit groups turns by it.
        """
        return None

    def gold(self) -> Iterable[str] | None:
        """Return actions that solve the task from the present state, or None if none are known."""
        return None

    def expert(self) -> str | None:
        """Return what a good demonstrator would do next, knowing only what the agent has seen.

        By default the first action of `gold()`. None: no demonstrator.
        """
        plan = self.gold()
        return None if plan is None else next(iter(plan), None)

    def answer(self) -> str | None:
        """Return what the agent is to find out in this episode, or None if nothing is known.

        It is kept with the trajectory, and no model sees it before it acts: credit by information
        gain asks how probable the policy finds it after every turn.
        """
        return None

    def snapshot(self) -> object:
        """Return everything that the rest of the episode depends on; `restore` takes it back.

        The default copies the instance deeply, which suits environments in pure Python; those with
        state outside override both or raise NotImplementedError.
        """
        return copy.deepcopy(
            {
                k: v
                for k, v in self.__dict__.items()
                if k not in ("observation_space", "action_space")
            }
        )

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, which stays usable any number of times."""
        assert isinstance(snapshot, dict)
        kept = {k: self.__dict__[k] for k in ("observation_space", "action_space")}
        self.__dict__.clear()
        self.__dict__.update(kept)
        self.__dict__.update(copy.deepcopy(snapshot))

    @final
    def drawn_number(self, count: int) -> int:
        """Return which of `count` fixed tasks this episode plays, from 0; for `begin`, once.

        Any `count` consecutive seeds play each of them once. Without a seed it is a random one.
        """
        return self.np_random_seed % count if self._seeded else int(self.np_random.integers(count))

    def shutdown(self) -> None:
        """Give back what the environment holds outside of Python; called once by `close`."""

    # The Gymnasium protocol ------------------------------------------------------------------

    @final
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; the same seed starts the same one.

        Raises:
            EnvClosed: after `close`.
            EnvContractError: `begin` returned something that breaks the contract.
        """
        if self._phase == "closed":
            raise EnvClosed(f"{self._label()}: reset() after close(); make a new environment")
        self._phase, self._seeded = "new", seed is not None
        super().reset(seed=seed)
        self.turns = 0
        started = self.begin(options or {})
        if self._closed():
            raise EnvClosed(f"{self._label()}: closed during reset(); make a new environment")
        outcome = started if isinstance(started, Outcome) else Outcome(started)
        text, info = self._report(outcome, "begin")
        if outcome.terminated or outcome.truncated or outcome.reward:
            raise EnvContractError(
                f"{self._label()}: begin() must neither end the episode nor give a reward"
            )
        self._phase = "running"
        return text, info

    @final
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: before `reset` or after the end of the episode.
            EnvClosed: after `close`, also by another thread while the action was carried out.
            EnvContractError: the action is not a string, or `act` broke the contract.
        """
        if self._phase != "running":
            raise self._not_running()
        if not isinstance(action, str):
            raise EnvContractError(
                f"{self._label()}: an action must be a str, "
                f"got {type(action).__name__} {action!r:.80}"
            )
        self.turns += 1
        outcome = self.act(action)
        if self._closed():
            raise EnvClosed(f"{self._label()}: closed during step(); make a new environment")
        text, info = self._report(outcome, "act")
        terminated = outcome.terminated
        truncated = outcome.truncated or (
            not terminated and self.max_turns is not None and self.turns >= self.max_turns
        )
        if terminated or truncated:
            self._phase = "over"
        return text, outcome.reward, terminated, truncated, info

    @final
    def close(self) -> None:
        """Close for good; closing twice is harmless."""
        if self._phase != "closed":
            self._phase = "closed"
            self.shutdown()

    def render(self) -> str | None:
        """Return the latest observation when made with `render_mode="ansi"`."""
        return self._last_text if self.render_mode == "ansi" else None

    # ------------------------------------------------------------------------------------------

    def _report(self, outcome: Outcome, hook: str) -> tuple[str, dict[str, Any]]:
        """Check an outcome and turn it into observation text and info."""
        if type(outcome) is not Outcome:
            raise self._broken(hook, "its result", "an Outcome", outcome)
        observation, info, reward = outcome.observation, outcome.info, outcome.reward
        if type(info) is not dict:
            raise self._broken(hook, "info", "a dict", info)
        if isinstance(observation, str):
            text = observation
        elif isinstance(observation, Observation):
            text = observation.text
            info["messages"] = observation.messages
        else:
            raise self._broken(hook, "observation", "a str or an Observation", observation)
        if type(reward) is not float:
            if isinstance(reward, bool) or not isinstance(reward, int | float):
                raise self._broken(hook, "reward", "a finite float", reward)
            outcome.reward = reward = float(reward)
        if not math.isfinite(reward):
            raise self._broken(hook, "reward", "a finite float", reward)
        if type(outcome.terminated) is not bool or type(outcome.truncated) is not bool:
            field_name = "truncated" if type(outcome.terminated) is bool else "terminated"
            raise self._broken(hook, field_name, "a bool", getattr(outcome, field_name))
        if outcome.success is not None and type(outcome.success) is not bool:
            raise self._broken(hook, "success", "a bool or None", outcome.success)
        info["success"] = outcome.success
        if outcome.action_valid is not None:
            info["action_valid"] = outcome.action_valid
        if outcome.reward_parts is not None:
            for part, value in outcome.reward_parts.items():
                if type(value) is not float or not math.isfinite(value):
                    raise self._broken(hook, f"reward_parts[{part!r}]", "a finite float", value)
            info["reward_parts"] = outcome.reward_parts
        self._last_text = text
        return text, info

    def _broken(self, hook: str, what: str, wanted: str, got: object) -> EnvContractError:
        return EnvContractError(
            f"{self._label()}: {what} of {hook}() must be {wanted}, "
            f"got {type(got).__name__} {got!r:.80}"
        )

    def _closed(self) -> bool:
        return self._phase == "closed"

    def _not_running(self) -> ResetNeeded | EnvClosed:
        if self._phase == "closed":
            return EnvClosed(f"{self._label()}: step() after close(); make a new environment")
        if self._phase == "over":
            return ResetNeeded(f"{self._label()}: the episode is over; call reset()")
        return ResetNeeded(f"{self._label()}: call reset() before step()")

    def _label(self) -> str:
        return self.name or type(self).__name__


def make(name: str, *, preset: str | None = None, **options: JSON) -> TextEnv:
    """Make the environment that `name` stands for.

    Args:
        name: a name that `agentgym list` shows, or "package.module:Class".
        preset: one of the class's `presets`; `options` win over it.
        **options: constructor options.

    Raises:
        UnknownName: no such environment, preset or option; names the nearest.
        ConfigError: an option has a value that the environment refuses.

    >>> make("no_such_game")
    Traceback (most recent call last):
    ...
    agentgym.errors.UnknownName: ...
    """
    cls = env_class(name)
    if preset is not None:
        if preset not in cls.presets:
            raise UnknownName(f"preset of {name}", preset, cls.presets)
        options = {**cls.presets[preset], **options}
    known = option_names(cls)
    for key in options:
        if key not in known:
            raise UnknownName(f"option of {name}", key, known)
    env = cls(**cast("dict[str, Any]", options))  # values are for the class to check
    env.name, env.options = name, options
    return env


def env_class(name: str) -> type[TextEnv]:
    """Return the class behind an environment's name.

    Raises:
        UnknownName: nothing has that name.
        EnvContractError: what has that name is not a `TextEnv`.
    """
    found = registry.load("envs", name)
    if not (isinstance(found, type) and issubclass(found, TextEnv)):
        raise EnvContractError(f"{name}: {found!r} is not a subclass of agentgym.TextEnv")
    return found


def option_names(cls: type[TextEnv]) -> list[str]:
    """Return the constructor options of an environment class."""
    return [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
