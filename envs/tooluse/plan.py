"""Where an episode stands: how much of a task is done, and what is left to do."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from agentgym.envs.tooluse.answers import IMPOSSIBLE, Answer, tokens_of
from agentgym.envs.tooluse.tasks import Spot, Stage, Task, at, differing
from agentgym.envs.tooluse.world import Goal, World
from agentgym.errors import ToolError
from agentgym.types import ToolCall

__all__ = ["DONE", "Now", "answers_given", "calls_left", "last_words", "look_key", "progress"]

DONE: Final = "done"
"""What the reference solution says where nothing else was asked for."""


@dataclass(slots=True)
class Now:
    """What an episode has come to, besides the state of the world."""

    given: list[bool] = field(default_factory=list)  #: which answers stand
    forbidden: bool = False  #: whether "impossible" was said
    asked: set[str] = field(default_factory=set)  #: what was looked up
    told: tuple[int, ...] = ()  #: the pieces that the user told, in order
    over: bool = False
    key: str = ""  #: a digest of the world's state; "": not known
    progress: float = 0.0
    shown: str = ""  #: all observations, as `spelled`, where commands are listed
    seed: int = 0  #: of a language model that plays the user

    def copied(self) -> "Now":
        """Return a copy that changes do not reach."""
        return replace(self, given=[*self.given], asked={*self.asked})


def look_key(call: ToolCall) -> str:
    """Return the identity of a question to a tool."""
    return f"{call.name} {sorted(call.arguments.items())}"


def calls_left(
    task: Task, world: World, asked: AbstractSet[str], *, mend: bool = True
) -> list[ToolCall] | None:
    """Return the calls that lead from here to the end of a task, or None if none are known.

    What was looked up already is not asked again. A wrong change is mended where doing the task
    overwrites it, or else, with `mend`, where a tool undoes it.
    """
    found = _calls_from(task, world, asked)
    if found is not None or not mend:
        return found
    other = world.with_state(world.copied())
    undone = []
    try:
        for table, key in sorted(_wrong(task, world)):
            calls = list(other.mend(table, key, task.start[table].get(key)))
            other.run(calls)
            undone += calls
    except ToolError:
        return None
    found = _calls_from(task, other, asked)
    return None if found is None else [*undone, *found]


def progress(task: Task, world: World, asked: AbstractSet[str]) -> float:
    """Return the share of a task's calls that are done, from 0 to 1; 0 after a wrong change.

    Acts count, and for goals without acts what has to be looked up.
    """
    if not _nothing_else(task, world):
        return 0.0
    done = total = 0
    for goal, stages in zip(task.goals, task.stages, strict=True):
        if goal.acts:
            stage = _stage(stages, world)
            if stage is None:
                return 0.0
            done, total = done + stage, total + len(goal.acts)
        else:
            done += sum(look_key(look) in asked for look in goal.looks)
            total += len(goal.looks)
    return done / total


def last_words(task: Task, given: list[bool]) -> str:
    """Return what is to be said at the end; `given` are the answers that were said before."""
    values = [a.value for a, said in zip(task.answers, given, strict=True) if not said]
    return ", ".join([*values, *([IMPOSSIBLE] if task.impossible else [])]) or DONE


def answers_given(task: Task, given: list[bool], said: str) -> list[bool]:
    """Return which answers stand after a message; what was said last about one counts.

    Args:
        task: which answers there are, and which words the agent may use anyway.
        given: which stood before. said: the message.
    """
    judged = [_judged(task, answer, said) for answer in task.answers]
    return [old if new is None else new for old, new in zip(given, judged, strict=True)]


def says_impossible(said: str) -> bool:
    """Whether a message has the word that something is forbidden."""
    return IMPOSSIBLE in tokens_of(said)


# ----------------------------------------------------------------------------------------------


def _judged(task: Task, answer: Answer, said: str) -> bool | None:
    others = [each.value for each in task.answers if each is not answer]
    return answer.judged(said, [task.text, *others])


def _calls_from(task: Task, world: World, asked: AbstractSet[str]) -> list[ToolCall] | None:
    """Return the calls that are left when nothing has to be undone."""
    if not _nothing_else(task, world):
        return None
    found: list[ToolCall] = []
    known = {*asked}
    for goal, stages in zip(task.goals, task.stages, strict=True):
        acts = _acts_left(goal, stages, world)
        if acts is None:
            return None
        if acts or not goal.acts:
            found += [look for look in goal.looks if look_key(look) not in known]
            known.update(map(look_key, goal.looks))
        found += acts
    return found


def _wrong(task: Task, world: World) -> set[Spot]:
    """Return where something is that neither was there before nor is meant to be."""
    wrong = differing(task.start, world.state)
    for goal, stages in zip(task.goals, task.stages, strict=True):
        if _acts_left(goal, stages, world) is not None:
            wrong -= stages[0].keys()
    return wrong


def _nothing_else(task: Task, world: World) -> bool:
    """Whether nothing was changed besides what the task changes."""
    meant = {spot for stages in task.stages for spot in stages[0]}
    return differing(task.start, world.state) <= meant


def _stage(stages: tuple[Stage, ...], world: World) -> int | None:
    """Return after how many of its acts a goal is, the last such number."""
    now = at(world.state, stages[0])
    return max((k for k, stage in enumerate(stages) if stage == now), default=None)


def _acts_left(goal: Goal, stages: tuple[Stage, ...], world: World) -> tuple[ToolCall, ...] | None:
    stage = _stage(stages, world)
    if stage is not None:
        return goal.acts[stage:]
    for first in reversed(range(len(goal.acts))):
        other = world.with_state(world.copied())
        try:
            other.run(goal.acts[first:])
        except ToolError:
            continue
        if at(other.state, stages[-1]) == stages[-1]:
            return goal.acts[first:]
    return None
