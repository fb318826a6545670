"""Where an episode stands: how much of a task is done, and what is left to do."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from agentgym.envs.tooluse.answers import IMPOSSIBLE, Answer, tokens_of
from agentgym.envs.tooluse.tasks import Spot, Stage, Task, at, differing
from agentgym.envs.tooluse.world import Goal, World
from agentgym.errors import ToolError
from agentgym.rewards.toolrl import ToolRL
from agentgym.types import ToolCall

__all__ = [
    "DONE",
    "TOOLRL",
    "Now",
    "Steps",
    "answers_given",
    "calls_of",
    "last_words",
    "look_key",
    "progress",
    "reference",
    "says_impossible",
    "steps_left",
]

DONE: Final = "done"
"""What the reference solution says where nothing else was asked for."""

TOOLRL: Final = ToolRL()
"""What compares calls with those of a plan."""


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


@dataclass(frozen=True, slots=True)
class Steps:
    """What is left to do for one goal: look-ups in any order, and then acts in this one."""

    looks: tuple[ToolCall, ...]
    acts: tuple[ToolCall, ...]


def steps_left(
    task: Task, world: World, asked: AbstractSet[str], *, mend: bool = True
) -> list[Steps] | None:
    """Return the steps that lead from here to the end of a task, or None if none are known.

    Goals may be taken in any order. What was looked up already is not asked again. A wrong change
    is mended where doing the task overwrites it, or else, with `mend`, where a tool undoes it;
    then all is one list of acts, because tools may refuse the others before.
    """
    found = _steps_from(task, world, asked)
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
    found = _steps_from(task, other, asked)
    return None if found is None else [Steps((), (*undone, *calls_of(found)))]


def calls_of(steps: Sequence[Steps]) -> list[ToolCall]:
    """Return the calls of steps in order; what several goals look up is looked up once."""
    found: list[ToolCall] = []
    known: set[str] = set()
    for each in steps:
        for look in each.looks:
            if look_key(look) not in known:
                found.append(look)
                known.add(look_key(look))
        found += each.acts
    return found


def reference(steps: Sequence[Steps], made: Sequence[ToolCall]) -> list[ToolCall]:
    """Return the calls that those of a reply are to be compared with.

    There is more than one right order. So each call is paired with that one of the calls which may
    come next that agrees best with it, the first of the best; those after it may count on it.

    Args:
        steps: what is left to do.
        made: the calls of the reply; none of them: the reference is the first call that is left.

    Returns:
        As many calls as were made, at least one, as far as there are so many.
    """
    chosen: list[ToolCall] = []
    looked, acted = set[str](), [0] * len(steps)
    for call in made or (None,):
        may_come = [*_next_of(steps, looked, acted)]
        if not may_come:
            break
        best, goal = may_come[0]
        if call is not None:
            best, goal = max(may_come, key=lambda each: TOOLRL.correctness([each[0]], [call]))
        chosen.append(best)
        if goal is None:
            looked.add(look_key(best))
        else:
            acted[goal] += 1
    return chosen


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


def _next_of(
    steps: Sequence[Steps], looked: AbstractSet[str], acted: Sequence[int]
) -> Iterator[tuple[ToolCall, int | None]]:
    """Yield the calls that may come next; for an act also which of the steps it is of.

    Args:
        steps: what was left. looked: what was looked up since. acted: how many acts of each step
            were made since.
    """
    for k, each in enumerate(steps):
        looks = [look for look in each.looks if look_key(look) not in looked]
        if looks:
            yield from ((look, None) for look in looks)
        elif acted[k] < len(each.acts):
            yield each.acts[acted[k]], k


def _steps_from(task: Task, world: World, asked: AbstractSet[str]) -> list[Steps] | None:
    """Return the steps that are left when nothing has to be undone."""
    if not _nothing_else(task, world):
        return None
    found: list[Steps] = []
    for goal, stages in zip(task.goals, task.stages, strict=True):
        acts = _acts_left(goal, stages, world)
        if acts is None:
            return None
        if acts or not goal.acts:
            looks = tuple(look for look in goal.looks if look_key(look) not in asked)
            if looks or acts:
                found.append(Steps(looks, acts))
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
