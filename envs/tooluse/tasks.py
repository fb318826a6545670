"""Tasks: goals drawn from a made-up world, with the state in which it shall end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from agentgym.envs.tooluse.answers import Answer, tokens_of
from agentgym.envs.tooluse.bank import Bank
from agentgym.envs.tooluse.folders import Folders
from agentgym.envs.tooluse.names import Dice, Setting
from agentgym.envs.tooluse.office import Office
from agentgym.envs.tooluse.shop import Shop
from agentgym.envs.tooluse.world import Goal, Record, State, World, digest
from agentgym.errors import ToolError

__all__ = ["SIZES", "WORLDS", "Size", "Spot", "Stage", "Task", "at", "differing", "draw_task"]

WORLDS: Final[Mapping[str, type[World]]] = {
    each.name: each for each in (Shop, Office, Folders, Bank)
}


@dataclass(frozen=True, slots=True)
class Size:
    """How big tasks are: goals, from and to, and most that can be asked for; the turn limit."""

    goals: tuple[int, int]
    most: int
    turns: int


SIZES: Final[Mapping[str, Size]] = {
    "tiny": Size((1, 1), 2, 6),
    "small": Size((1, 2), 4, 16),
    "full": Size((3, 5), 8, 48),
}

Spot = tuple[str, str]
Stage = Mapping[Spot, Record | None]
"""Table and id to the record that stands there, if any."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, in which state it begins, and in which it shall end.

    Attributes:
        world: its name. goals: what is asked. start, end: states; never changed.
        stages: for each goal, the records that it changes: at first, and after each of its acts.
        key: a digest of it all.
    """

    world: str
    goals: tuple[Goal, ...]
    start: State
    end: State
    stages: tuple[tuple[Stage, ...], ...]
    key: str

    @property
    def pieces(self) -> tuple[str, ...]:
        """What the user has to say."""
        return tuple(piece for goal in self.goals for piece in goal.pieces)

    @property
    def text(self) -> str:
        """All of it as one text."""
        return " ".join(self.pieces)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What has to be said at the end."""
        return tuple(answer for goal in self.goals for answer in goal.answers)

    @property
    def impossible(self) -> bool:
        """Whether the rules forbid a part of it."""
        return any(goal.impossible for goal in self.goals)


def draw_task(
    rng: np.random.Generator, *, size: str, split: str, world: str | None, goals: int | None
) -> Task:
    """Draw a task of a split.

    Training and `valid_seen` share names and wordings, and have different tasks. `valid_unseen` has
    names and wordings of its own; in the size "tiny", whose few names are the same everywhere, it
    has other combinations of them.
    """
    dice = Dice(rng)
    setting = Setting(size, split == "valid_unseen", dice)
    names = sorted(WORLDS) if world is None else [world]
    low, high = SIZES[size].goals if goals is None else (goals, goals)
    while True:
        task = _draw(WORLDS[dice.one(names)](), setting, dice.between(low, high))
        if task is not None and _split_of(task, setting) == split:
            return task


def differing(one: State, other: State) -> set[Spot]:
    """Return where two states differ."""
    found: set[Spot] = set()
    for table in one.keys() | other.keys():
        a, b = one.get(table, {}), other.get(table, {})
        if a != b:
            found.update((table, k) for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return found


def at(state: State, spots: Iterable[Spot]) -> Stage:
    """Return the records of a state at some places."""
    return {(table, key): state.get(table, {}).get(key) for table, key in spots}


# ----------------------------------------------------------------------------------------------


def _draw(world: World, setting: Setting, count: int) -> Task | None:
    """Draw a task with so many goals, or None if that did not come out."""
    world.fill(setting)
    goals: list[Goal] = []
    taken: set[str] = set()
    for _ in range(6 * count):
        goal = world.goal(setting.dice.one(world.kinds[setting.size]), setting, taken)
        if goal is not None:
            goals.append(goal)
        if len(goals) == count:
            return _task(world, tuple(goals))
    return None


def _task(world: World, goals: tuple[Goal, ...]) -> Task | None:
    """Make a task of goals, or None if they are in each other's way, or tell their own answers."""
    text = [token for goal in goals for piece in goal.pieces for token in tokens_of(piece)]
    answers = [answer for goal in goals for answer in goal.answers]
    values = [" ".join(tokens_of(answer.value)) for answer in answers]
    if len({*values}) < len(values) or any(value in text for value in values):
        return None
    start, stages = world.copied(), []
    try:
        for goal in goals:
            seen = [world.copied()]
            for act in goal.acts:
                world.run([act])
                seen.append(world.copied())
            spots = set().union(*(differing(seen[0], state) for state in seen))
            stages.append(tuple(at(state, spots) for state in seen))
    except ToolError:
        return None
    touched = [spot for each in stages for spot in each[0]]
    if len({*touched}) < len(touched):
        return None
    key = digest([world.name, [goal.pieces for goal in goals], start])
    return Task(world.name, goals, start, world.state, tuple(stages), key)


def _split_of(task: Task, setting: Setting) -> str:
    if setting.size == "tiny":
        themes = [[task.world, goal.kind, goal.about] for goal in task.goals]
        if int(digest(themes)[:8], 16) % 5 == 0:
            return "valid_unseen"
    elif setting.unseen:
        return "valid_unseen"
    return "valid_seen" if int(task.key[:8], 16) % 5 == 0 else "train"
