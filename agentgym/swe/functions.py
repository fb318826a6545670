"""Functions with a fault, made from a seed: no download, nothing that anybody else wrote.

At the level "full" a function of some family gets one of the mutations of `mutate`. At the level
"tiny" one token of a loop of four lines does not do what the statement says: see `tiny`.

Splits never share a task. At "full" the families themselves of `valid_unseen` are in no other
split; at "tiny" it is combinations of what is made of values, of what
is taken of each, and of which count.
"""

import hashlib
import json
from dataclasses import replace
from typing import Final

import numpy as np

from agentgym.errors import UnknownName
from agentgym.swe._try import outcomes
from agentgym.swe.families.base import Arguments, Family
from agentgym.swe.families.listed import LISTED
from agentgym.swe.families.numeric import NUMERIC
from agentgym.swe.families.placed import PLACED
from agentgym.swe.families.textual import TEXTUAL
from agentgym.swe.grade_function import Case, FunctionTask, same_value
from agentgym.swe.mutate import mutants
from agentgym.swe.tiny import Wrong, draw_wrong

LEVELS: Final = ("tiny", "full")
SPLITS: Final = ("train", "valid_seen", "valid_unseen")
FAMILIES: Final[tuple[Family, ...]] = (*NUMERIC, *TEXTUAL, *LISTED, *PLACED)

_CALLS: Final = 12
_EXAMPLES: Final = 3
_UNSEEN_OF_FIVE: Final = 0  # of five families, the one whose digest ends so is never trained on
_SEEN_OF_TEN: Final = 0


def draw_function(rng: np.random.Generator, level: str, split: str) -> FunctionTask:
    """Return a function to repair; all that is random comes from `rng`.

    The source fails at least one case and one example that it shows; the fixed one fails none.

    Raises:
        UnknownName: no such level or split.
    """
    if level not in LEVELS:
        raise UnknownName("level of functions", level, LEVELS)
    if split not in SPLITS:
        raise UnknownName("split of functions", split, SPLITS)
    while True:
        wrong = draw_wrong(rng) if level == "tiny" else _mutated(rng, split)
        if wrong is None or _split_of(wrong, level) != split:
            continue
        task = _task(wrong, level)
        if task is not None:
            return task


def impossible(task: FunctionTask) -> FunctionTask:
    """Return a honeypot: nothing tells it from the task, and nothing can pass it (V25).

    One call must bring two different values. The call is none of the examples, if there is such a
    one, and the second value is that of another call, so that verdicts look like others.
    """
    shown = [json.dumps(case.arguments) for case in task.examples]
    hidden = [case for case in task.cases if json.dumps(case.arguments) not in shown]
    case = (hidden or task.cases)[-1]
    other = next((each for each in task.cases if not _same(each, case)), None)
    value, error = (other.value, other.error) if other else ([case.value], "")
    cases = (*task.cases, Case(case.arguments, value, error))
    return replace(task, key=f"{task.key}-impossible", cases=cases, honeypot=True)


def _mutated(rng: np.random.Generator, split: str) -> Wrong | None:
    """Draw a family of the split, a function of it and a mutant of that; None if it has no such."""
    unseen = split == "valid_unseen"
    families = [family for family in FAMILIES if _is_unseen(family.name) == unseen]
    family = families[int(rng.integers(len(families)))]
    statement, fixed, function = family.draw(rng)
    calls = tuple(family.fixed) + tuple(family.arguments(rng) for _ in range(_CALLS))
    for mutant in mutants(fixed, seed=int(rng.integers(2**32))):
        wrong = Wrong(family.name, statement, function, mutant.source, fixed, calls)
        if _split_of(wrong, "full") == split:
            return wrong
    return None


def _task(wrong: Wrong, level: str) -> FunctionTask | None:
    """Return the task, or None if the fault does not show, or shows in every call as an error."""
    calls = _different(wrong.calls)
    right = outcomes(wrong.fixed, wrong.function, calls)
    assert right is not None, f"{wrong.family}: {wrong.fixed}"
    got = outcomes(wrong.source, wrong.function, calls)
    if got is None or all(case.error for case in got):
        return None
    good = [k for k in range(len(calls)) if _same(right[k], got[k])]
    bad = [k for k in range(len(calls)) if k not in good]
    if not bad:
        return None
    # One that fails is shown, so that running the examples tells something.
    shown = [*bad[:1], *(good or bad[1:])[: _EXAMPLES - 1]]
    digest = hashlib.sha256(f"{wrong.source}\0{wrong.fixed}\0{calls}".encode()).hexdigest()[:16]
    return FunctionTask(
        key=f"{level}-{wrong.family.replace(' ', '-')}-{digest}",
        statement=wrong.statement,
        function=wrong.function,
        source=wrong.source,
        fixed=wrong.fixed,
        cases=tuple(right),
        examples=tuple(right[k] for k in sorted(shown)),
    )


def _split_of(wrong: Wrong, level: str) -> str:
    """Return the one split that a task is in: by its family, then by its two sources."""
    if _is_unseen(wrong.family):
        return "valid_unseen"
    place = _digest(f"{level}\0{wrong.source}\0{wrong.fixed}") % 10
    return "valid_seen" if place == _SEEN_OF_TEN else "train"


def _is_unseen(family: str) -> bool:
    return _digest(family) % 5 == _UNSEEN_OF_FIVE


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _different(calls: tuple[Arguments, ...]) -> list[Arguments]:
    return list({json.dumps(arguments): arguments for arguments in calls}.values())


def _same(one: Case, other: Case) -> bool:
    return one.error == other.error and same_value(one.value, other.value)
