"""Checklists: what an answer to each turn of a user must fulfil, in yes-or-no criteria.

After CM2 (arXiv 2602.12268). A step is one reply of the agent; the steps between two things that
the user says are a user turn. After each step every criterion of the present user turn is answered;
it counts as satisfied if it was at any step of that turn. Weights of a turn add up to 1, so that
the score of a turn and the mean over all turns of the checklist (those not reached count 0) lie in
[0, 1].
"""

import graphlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias

from agentgym.errors import ConfigError, nearest
from agentgym.types import JSON

__all__ = [
    "TOOL_FOCUS",
    "Checklist",
    "Criterion",
    "check_checklist",
    "criteria_fact",
    "criteria_of_fact",
    "criteria_of_json",
    "failed_by_tools",
    "in_order",
    "mean_score",
    "to_json",
    "turn_score",
    "unlocked",
    "unmet",
    "verdicts_fact",
]

TOOL_FOCUS = frozenset({"assistant.tool_calls", "tool.content"})
"""What criteria about tool calls and their results focus on: a call that fails cannot meet them."""

SUM_TOLERANCE = 1e-3
"""How far the weights of a turn may miss 1: they are written with a few decimals."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that is fulfilled or not."""

    id: str  #: unique in its turn
    text: str  #: the question, and what counts as yes
    weight: float  #: share of the turn's score
    depends_on: tuple[str, ...] = ()  #: ids of its turn that must be satisfied before
    required_for_next_turn: bool = False  #: unmet at the end of the turn: the dialogue stops
    focus: str = ""  #: where to look: "assistant.tool_calls", "tool.content", ...
    evidence: str = ""  #: what fulfilled it in a reference dialogue
    rule: Mapping[str, JSON] | None = None  #: how to check it without a model, if that is possible


Checklist: TypeAlias = tuple[tuple[Criterion, ...], ...]
"""The criteria of every user turn."""


def check_checklist(checklist: Checklist) -> Checklist:
    """Return a checklist that has been looked over.

    Raises:
        ConfigError: a turn has no criteria, one id twice, weights that are not positive or do not
            add up to 1, or dependencies that are unknown or in a circle; names the turn.
    """
    if not checklist:
        raise ConfigError("a checklist needs at least one user turn")
    for number, criteria in enumerate(checklist):
        where = f"user turn {number} of a checklist"
        if not criteria:
            raise ConfigError(f"{where} has no criteria")
        ids = [each.id for each in criteria]
        if twice := [each for each in dict.fromkeys(ids) if ids.count(each) > 1]:
            raise ConfigError(f"{where} has the criterion {twice[0]!r} twice")
        for each in criteria:
            if not each.id or not each.text.strip():
                raise ConfigError(f"{where}: the criterion {each.id!r} needs an id and a text")
            if not (math.isfinite(each.weight) and each.weight > 0):
                raise ConfigError(
                    f"{where}: the weight of {each.id!r} must be above 0, got {each.weight!r}"
                )
            for other in each.depends_on:
                if other not in ids:
                    raise ConfigError(
                        f"{where}: {each.id!r} depends on {other!r}, which is not there; "
                        f"{nearest(other, ids)}"
                    )
        total = math.fsum(each.weight for each in criteria)
        if abs(total - 1) > SUM_TOLERANCE:
            raise ConfigError(f"{where}: the weights must add up to 1, they give {total:.4f}")
        in_order(criteria, where)
    return checklist


def in_order(
    criteria: Sequence[Criterion], where: str = "a turn of a checklist"
) -> list[Criterion]:
    """Return criteria so that each comes after those that it depends on.

    Raises:
        ConfigError: they depend on each other in a circle.
    """
    by_id = {each.id: each for each in criteria}
    try:
        graph = {each.id: each.depends_on for each in criteria}
        return [by_id[name] for name in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        circle = " -> ".join(map(str, error.args[1]))
        raise ConfigError(f"{where}: criteria depend on each other in a circle: {circle}") from None


# Scores -----------------------------------------------------------------------------------------


def turn_score(criteria: Sequence[Criterion], satisfied: Collection[str]) -> float:
    """Return the weight of what was satisfied at any step of the turn: S_turn of CM2.

    >>> made = (Criterion("a", "Is it polite?", 0.25), Criterion("b", "Is it right?", 0.75))
    >>> turn_score(made, {"b"})
    0.75
    """
    return math.fsum(each.weight for each in criteria if each.id in satisfied)


def mean_score(checklist: Checklist, satisfied_K: Sequence[Collection[str]]) -> float:
    """Return the mean score over all user turns; those that were not reached count 0.

    Args:
        checklist: of the dialogue.
        satisfied_K: the ids that were satisfied in each user turn that was reached (K of them).
    """
    reached = zip(checklist, satisfied_K, strict=False)
    return math.fsum(turn_score(criteria, ids) for criteria, ids in reached) / len(checklist)


def unmet(criteria: Sequence[Criterion], satisfied: Collection[str]) -> tuple[str, ...]:
    """Return the ids that the next user turn needs and does not have; empty: it may come."""
    return tuple(
        each.id for each in criteria if each.required_for_next_turn and each.id not in satisfied
    )


def unlocked(criteria: Sequence[Criterion], satisfied: Collection[str]) -> tuple[Criterion, ...]:
    """Return the criteria that are still open and whose dependencies are satisfied."""
    return tuple(
        each
        for each in criteria
        if each.id not in satisfied and all(other in satisfied for other in each.depends_on)
    )


def failed_by_tools(criteria: Sequence[Criterion]) -> frozenset[str]:
    """Return the ids whose answer is no in a step whose tool call failed: those about tools."""
    return frozenset(each.id for each in criteria if each.focus in TOOL_FOCUS)


# Facts of a turn, see `agentgym.types.Turn.facts` -----------------------------------------------


def criteria_fact(checklist: Checklist) -> list[JSON]:
    """Return what the first turn of an episode states as its fact "criteria"."""
    return [
        [
            {"id": each.id, "weight": each.weight, "depends_on": list[JSON](each.depends_on)}
            for each in criteria
        ]
        for criteria in checklist
    ]


def criteria_of_fact(data: object) -> Checklist:
    """Return the criteria that the fact "criteria" states; they have no text.

    Raises:
        ConfigError: it is something else, or as `check_checklist`; names turn and field.
    """
    if not isinstance(data, list) or not all(isinstance(turn, list) for turn in data):
        raise ConfigError(f"the fact 'criteria' is a list of lists, got {data!r:.60}")
    return criteria_of_json(
        [
            [{"text": "(not stated)", **each} if isinstance(each, dict) else each for each in turn]
            for turn in data
        ]
    )


def verdicts_fact(user_turn: int, satisfied: Mapping[str, bool]) -> dict[str, JSON]:
    """Return what every turn states as its fact "checklist".

    Args:
        user_turn: which user turn the step belongs to, from 0.
        satisfied: the answer for each criterion of it after the step.
    """
    return {"user_turn": user_turn, "satisfied": dict(satisfied)}


# JSON -------------------------------------------------------------------------------------------


def to_json(checklist: Checklist) -> list[JSON]:
    """Return a checklist as JSON; fields with their default are left out."""

    def encode(each: Criterion) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        for f in fields(each):
            value = getattr(each, f.name)
            if f.default is MISSING or value != f.default:
                found[f.name] = list(value) if isinstance(value, tuple) else value
        if each.rule is not None:
            found["rule"] = dict(each.rule)
        return found

    return [[encode(each) for each in criteria] for criteria in checklist]


def criteria_of_json(data: object) -> Checklist:
    """Return the checklist in JSON: a list of user turns, each a list of criteria.

    A criterion has the fields of `Criterion`, or those of CM2's files: `question`,
    `pass_condition`, `failure_examples`, `focus_on`, `evidence` (with snippets), `dependence`. A
    turn may be CM2's object of `checklist`, `dependence` and `weight`, the latter two by id.

    Raises:
        ConfigError: it is something else, or as `check_checklist`; names turn and field.
    """
    if not isinstance(data, list):
        raise ConfigError(f"a checklist is a list of user turns, got {type(data).__name__}")
    turns = []
    for number, turn in enumerate(data):
        where = f"user turn {number} of a checklist"
        criteria = _of_cm2_turn(turn, where) if isinstance(turn, dict) else turn
        if not isinstance(criteria, list):
            raise ConfigError(f"{where} must be a list of criteria, got {type(turn).__name__}")
        turns.append(tuple(_criterion(each, where) for each in criteria))
    return check_checklist(tuple(turns))


_CM2 = {"question", "pass_condition", "failure_examples", "focus_on", "dependence"}

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "id": (str, "a string"),
    "text": (str, "a string"),
    "weight": ((int, float), "a number"),
    "depends_on": (list, "a list of ids"),
    "required_for_next_turn": (bool, "true or false"),
    "focus": (str, "a string"),
    "evidence": (str, "a string"),
    "rule": ((dict, type(None)), "an object"),
}


def _criterion(data: object, where: str) -> Criterion:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a criterion is an object, got {data!r:.60}")
    given = _of_cm2(data) if data.keys() & _CM2 else dict(data)
    for name, value in given.items():
        if name not in _KINDS:
            raise ConfigError(
                f"{where}: a criterion has no field {name!r}; {nearest(name, [*_KINDS, *_CM2])}"
            )
        kind, what = _KINDS[name]
        wrong = isinstance(value, bool) and kind is not bool
        if name == "depends_on" and isinstance(value, list):
            wrong = not all(isinstance(each, str) for each in value)
        if wrong or not isinstance(value, kind):
            raise ConfigError(f"{where}: {name} of a criterion must be {what}, got {value!r:.60}")
    for name in ("id", "text", "weight"):
        if name not in given:
            raise ConfigError(f"{where}: the criterion {data.get('id')!r} has no {name}")
    given["depends_on"] = tuple(given.get("depends_on", ()))
    given["weight"] = float(given["weight"])
    return Criterion(**given)


def _of_cm2(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a criterion of CM2's files in our own terms."""
    given = {name: value for name, value in data.items() if name not in _CM2}
    said = [str(data[name]) for name in ("question", "pass_condition") if data.get(name)]
    if bad := data.get("failure_examples"):
        listed = bad if isinstance(bad, list) else [bad]
        said.append("Not fulfilled by: " + "; ".join(map(str, listed)))
    if said:
        given["text"] = "\n".join(said)
    for ours, theirs in (("focus", "focus_on"), ("depends_on", "dependence")):
        if theirs in data:
            given[ours] = data[theirs]
    if isinstance(evidence := data.get("evidence"), list):
        snippets = [each.get("snippet", "") for each in evidence if isinstance(each, dict)]
        given["evidence"] = "\n".join(map(str, filter(None, snippets)))
    return given


def _of_cm2_turn(turn: Mapping[str, Any], where: str) -> object:
    """Return the criteria of CM2's object for a turn, with weights and dependencies in them."""
    criteria = turn.get("checklist")
    if unknown := turn.keys() - {"turn", "checklist", "dependence", "weight"}:
        raise ConfigError(f"{where} has no field {min(unknown)!r}")
    if not isinstance(criteria, list) or not all(isinstance(each, dict) for each in criteria):
        raise ConfigError(f"{where}: checklist must be a list of criteria")
    ids = [str(each.get("id")) for each in criteria]
    by_id = {name: turn.get(name, {}) for name in ("dependence", "weight")}
    for name, given in by_id.items():
        if not isinstance(given, dict):
            raise ConfigError(f"{where}: {name} must be an object by the ids of criteria")
        if unknown := given.keys() - set(ids):
            raise ConfigError(
                f"{where}: {name} names {min(unknown)!r}; {nearest(min(unknown), ids)}"
            )
    return [
        {**each, **{name: given[key] for name, given in by_id.items() if key in given}}
        for key, each in zip(ids, criteria, strict=True)
    ]
