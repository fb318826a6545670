"""Playing an environment under test: what came back at each step, checked and comparable."""

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from agentgym.env import TextEnv
from agentgym.testing.report import Failed
from agentgym.types import JSON, Message

NOISE = ("look", "help", "1", "xyzzy", "go north", "use hammer on anvil", "7 8", "yes", "?")
"""What the kit says where an environment names no admissible commands."""

MANY = 10_000
"""More actions than any plan of `gold` needs."""

STEP_FIELDS = ("observation", "reward", "terminated", "truncated", "info", "state_key")


@dataclass
class Subject:
    """The environment under test."""

    label: str
    cls: type[TextEnv]
    make: Callable[[], TextEnv]
    target: str | None  #: a name that another process can load, or None
    options: Mapping[str, JSON]
    seeds: tuple[int, ...]
    steps: int  #: most actions of one episode of the kit
    doing: str = ""  #: the call that was made last, for checks that hang or crash
    made: list[TextEnv] = field(default_factory=list)

    def new(self) -> TextEnv:
        """Make a fresh environment, which `close_all` closes."""
        self.doing = "the constructor"
        env = self.make()
        if not isinstance(env, TextEnv):
            raise Failed(f"making it must give a TextEnv, got {_describe(env)}")
        self.made.append(env)
        return env

    def close_all(self) -> None:
        """Close what `new` made."""
        while self.made:
            env = self.made.pop()
            try:
                env.close()
            except Exception:
                self.doing = "close()"
                raise


@dataclass(frozen=True, slots=True)
class Step:
    """What `reset` (action None) or `step` returned, and the state key after it."""

    action: str | None
    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    state_key: str | None

    @property
    def over(self) -> bool:
        """Whether the episode ended here."""
        return self.terminated or self.truncated

    @property
    def success(self) -> bool | None:
        """The environment's verdict, if it gave one."""
        found = self.info.get("success")
        return found if isinstance(found, bool) else None


class Player:
    """Plays one environment; every value that comes back is checked as it arrives."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.env = subject.new()
        self.at = "reset"
        self.seed = 0
        self.last: Step | None = None

    def reset(self, seed: int) -> Step:
        """Start an episode."""
        self.seed, self.at = seed, f"reset(seed={seed})"
        self._say(self.at)
        result = self.env.reset(seed=seed)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Failed(f"reset() must return (observation, info), got {_describe(result)}")
        return self._take(None, result[0], 0.0, False, False, result[1])

    def step(self, action: str) -> Step:
        """Take an action."""
        self.at = f"step {self.env.turns + 1} (seed {self.seed}), action {short(action)}"
        self._say(self.at)
        result = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            raise Failed(
                "step() must return (observation, reward, terminated, truncated, info), "
                f"got {_describe(result)}"
            )
        return self._take(action, *result)

    def _say(self, doing: str) -> None:
        self.subject.doing = doing

    def _take(
        self, action: str | None, text: object, reward: object, end: object, cut: object, info: Any
    ) -> Step:
        if not isinstance(text, str):
            raise self._wrong("the observation", "a str", text)
        if text not in self.env.observation_space:
            raise Failed(
                f"the observation at {self.at} is outside of observation_space "
                f"{self.env.observation_space}: {short(text)}; leave the space to TextEnv"
            )
        if isinstance(reward, bool) or not isinstance(reward, int | float):
            raise self._wrong("the reward", "a float", reward)
        if not math.isfinite(reward):
            raise Failed(f"the reward at {self.at} is {reward}; it must be finite")
        if type(end) is not bool:
            raise self._wrong("terminated", "a bool", end)
        if type(cut) is not bool:
            raise self._wrong("truncated", "a bool", cut)
        if not isinstance(info, dict):
            raise self._wrong("info", "a dict", info)
        self._check_info(info, terminated=end)
        self._say(f"state_key() after {self.at}")
        key = self.env.state_key()
        if key is not None and not isinstance(key, str):
            raise self._wrong("state_key()", "a str or None", key)
        self.last = Step(action, text, float(reward), end, cut, info, key)
        return self.last

    def _check_info(self, info: dict[str, Any], *, terminated: bool) -> None:
        success = info.get("success")
        if success is not None and type(success) is not bool:
            raise self._wrong("info['success']", "a bool or None", success)
        if terminated and success is None:
            raise Failed(
                f"terminated is True at {self.at} but success is None; the end of the task is "
                "its verdict: set success to True or False (or truncated instead of terminated)"
            )
        commands = info.get("admissible_commands", ())
        if not isinstance(commands, list | tuple):
            raise self._wrong("info['admissible_commands']", "a list of str", commands)
        for command in commands:
            if not isinstance(command, str) or not command.strip():
                raise self._wrong("info['admissible_commands'][...]", "a str with text", command)
        parts = info.get("reward_parts", {})
        if not isinstance(parts, Mapping):
            raise self._wrong("info['reward_parts']", "a dict of floats", parts)
        for name, part in parts.items():
            if not isinstance(part, int | float) or not math.isfinite(part):
                raise self._wrong(f"info['reward_parts'][{name!r}]", "a finite float", part)
        for message in info.get("messages", ()):
            if not isinstance(message, Message):
                raise self._wrong("info['messages'][...]", "an agentgym.Message", message)

    def _wrong(self, what: str, wanted: str, got: object) -> Failed:
        return Failed(f"{what} at {self.at} must be {wanted}, got {_describe(got)}")


def explore(player: Player, seed: int, rng: random.Random) -> list[Step]:
    """Play one episode of admissible, expert and nonsensical actions; return its steps."""
    steps = [player.reset(seed)]
    while not steps[-1].over and len(steps) <= player.subject.steps:
        steps.append(player.step(_choose(player, steps[-1], rng)))
    return steps


def repeat(player: Player, seed: int, actions: list[str]) -> list[Step]:
    """Play given actions until they or the episode end."""
    steps = [player.reset(seed)]
    for action in actions:
        if steps[-1].over:
            break
        steps.append(player.step(action))
    return steps


def script(subject: Subject, seed: int) -> list[str]:
    """Return the actions of an episode that explores."""
    return actions_of(explore(Player(subject), seed, random.Random(seed)))


def simple_action(player: Player, step: Step, rng: random.Random) -> str:
    """Return a random admissible action, or a word where none are named."""
    commands = list(step.info.get("admissible_commands") or ())
    return rng.choice(commands) if commands else rng.choice(("look", "1", "7", "yes", "help"))


def plan_of(plan: Iterable[str]) -> list[str]:
    """Return the actions that `gold` gave, checked."""
    if isinstance(plan, str):
        raise Failed(f"gold() must return a list of actions, got the str {short(plan)}")
    actions = list(islice(plan, MANY))
    for action in actions:
        if not isinstance(action, str):
            raise Failed(f"gold() must give strings, got {type(action).__name__} {short(action)}")
    return actions


def idle(subject: Subject, seed: int) -> list[Step]:
    """Play an episode of doing nothing, of at most 100 steps."""
    player = Player(subject)
    steps = [player.reset(seed)]
    for _ in range(min(player.env.max_turns or 100, 100)):
        if steps[-1].over:
            break
        steps.append(player.step(subject.cls.noop))
    return steps


def actions_of(steps: list[Step]) -> list[str]:
    """Return the actions that led through `steps`."""
    return [step.action for step in steps if step.action is not None]


def difference(ours: Step, theirs: Step) -> tuple[str, object, object] | None:
    """Return the first field in which two steps differ, with both values; None: they are equal."""
    for name in STEP_FIELDS:
        a, b = getattr(ours, name), getattr(theirs, name)
        if name == "info":
            for key in sorted({*a, *b}):
                if _plain(a.get(key)) != _plain(b.get(key)):
                    return f"info[{key!r}]", a.get(key), b.get(key)
        elif a != b:
            return name, a, b
    return None


def first_difference(
    ours: list[Step], theirs: list[Step], seed: int, *, first_step: int = 0
) -> str | None:
    """Return where two plays of the same actions part, as text; None: nowhere."""
    for k, (a, b) in enumerate(zip(ours, theirs, strict=False), first_step):
        found = difference(a, b)
        if found is not None:
            field_name, x, y = found
            place = "reset" if k == 0 else f"step {k}, action {short(a.action or '')}"
            return f"{field_name} differs at {place} (seed {seed}): {short(x)} against {short(y)}"
    if len(ours) != len(theirs):
        return f"one has {len(ours) - 1} steps, the other {len(theirs) - 1} (seed {seed})"
    return None


def short(value: object, limit: int = 70) -> str:
    """Return the representation of a value, cut in the middle."""
    if isinstance(value, str) and len(value) > 3 * limit:
        value = value[: 2 * limit] + value[-limit:]
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 20]} ... {text[-15:]}"


def _choose(player: Player, step: Step, rng: random.Random) -> str:
    roll = rng.random()
    commands = step.info.get("admissible_commands") or ()
    if commands and roll < 0.6:
        return str(rng.choice(list(commands)))
    if roll < 0.85:
        player.subject.doing = f"expert() after {player.at}"
        advice = player.env.expert()
        if advice is not None:
            return advice
    return rng.choice(NOISE)


def _plain(value: object) -> object:
    """Return a form of an info value that `==` compares as a whole."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return repr(value)


def _describe(value: object) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}: {short(value)}"
    return f"{type(value).__name__} {short(value)}"
