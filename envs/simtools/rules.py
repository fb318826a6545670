"""Criteria that can be checked without a judge, and the plans that meet them.

A rule is one JSON object:

    {"called": TOOL, "with": {argument: VALUE}, "not_after": [TOOLS]}
        the tool was called in this user turn, with these arguments (others are free), and none of
        the others before it
    {"says": VALUE}         the answer that ends the turn names the value, and no other in its place
    {"never": TOOL}         the turn was ended without a call of the tool
    {"all": [RULES]}, {"any": [RULES]}

A step of a plan is {"call": TOOL, "arguments": {argument: VALUE}} or {"say": [VALUES]}.

A value is JSON, or taken from what a call returned: {"result": TOOL, "of": {argument: VALUE},
"at": PATH}, the latest successful call of the tool in the dialogue, with these arguments where
`of` names some. A path goes into objects by key and into lists by place or by the least or greatest
of a field: `hotels[0].price`, `hotels[min price].hotel_id`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentgym.envs.simtools.schemas import dumps
from agentgym.types import JSON

MOST_STRAY_NUMBERS: Final = 2
"""Numbers that an answer may hold although neither the user nor a tool ever named them."""

MOST_SAID: Final = 10_000
"""Characters of an answer that are looked at."""

PATH_STEP: Final = re.compile(r"(\w+)(?:\[(?:(min|max) (\w+)|(\d+))\])?")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that succeeded: in which user turn, what was asked, what came back."""

    turn: int
    tool: str
    arguments: Mapping[str, JSON]
    result: JSON


@dataclass(frozen=True, slots=True)
class Scene:
    """What a rule may look at.

    Attributes:
        turn: of the user, from 0. memory: all successful calls of the episode, in order.
        heard: what the user said so far, this turn last.
        said: what the agent says to end the turn, `MOST_SAID` at most; None: it goes on.
        options: values that a result may have by the schemas, by the name of the field.
        expected: what the criteria of this turn want to hear.
    """

    turn: int
    memory: Sequence[Entry]
    heard: Sequence[str]
    said: str | None
    options: Mapping[str, Sequence[JSON]]
    expected: Sequence[JSON] = ()


def verdict(rule: Mapping[str, Any], scene: Scene) -> bool:
    """Whether a rule is met."""
    if "all" in rule:
        return all(verdict(each, scene) for each in rule["all"])
    if "any" in rule:
        return any(verdict(each, scene) for each in rule["any"])
    if "never" in rule:
        return scene.said is not None and not any(
            e.turn == scene.turn and e.tool == rule["never"] for e in scene.memory
        )
    if "says" in rule:
        value = taken(rule["says"], scene.memory)
        if scene.said is None or value is _MISSING:
            return False
        at = rule["says"]["at"] if _is_reference(rule["says"]) else ""
        return _names(scene.said, value) and not _evades(scene, value, at)
    for i, entry in enumerate(scene.memory):
        if entry.turn != scene.turn or entry.tool != rule["called"]:
            continue
        earlier = {e.tool for e in scene.memory[:i] if e.turn == scene.turn}
        if _matches(entry, rule.get("with", {}), scene.memory[:i]):
            return not earlier & set(rule.get("not_after", ()))
    return False


def wanted(rule: Mapping[str, Any], memory: Sequence[Entry]) -> list[JSON]:
    """Return the values that a rule wants to hear, as far as they are known."""
    inner = [
        value for each in rule.get("all", rule.get("any", ())) for value in wanted(each, memory)
    ]
    value = taken(rule["says"], memory) if "says" in rule else _MISSING
    return inner if value is _MISSING else [*inner, value]  # type: ignore[list-item]


def taken(value: Any, memory: Sequence[Entry]) -> Any:
    """Return a value, from a result if it is taken from there; `_MISSING` if it is not known."""
    if not _is_reference(value):
        return value
    for i in range(len(memory) - 1, -1, -1):
        entry = memory[i]
        if entry.tool == value["result"] and _matches(entry, value.get("of", {}), memory[:i]):
            return _follow(entry.result, value["at"])
    return _MISSING


def planned(
    step: Mapping[str, Any], memory: Sequence[Entry]
) -> tuple[str, dict[str, JSON] | str] | None:
    """Return a step of a plan as ("", what is said) or (tool, arguments).

    None: it needs what no call has returned yet.
    """
    if "say" in step:
        parts = [taken(part, memory) for part in step["say"]]
        if _MISSING in parts:
            return None
        return "", "".join(part if isinstance(part, str) else shown(part) for part in parts)
    arguments = {key: taken(each, memory) for key, each in step.get("arguments", {}).items()}
    return None if _MISSING in arguments.values() else (step["call"], arguments)


def same(a: JSON, b: JSON) -> bool:
    """Whether two values mean the same: texts but for case and white space, numbers by value.

    >>> same("City  3", "city 3"), same(2, 2.0), same(1, True), same([1, "A"], [1, "a"])
    (True, True, False, True)
    """
    if isinstance(a, str) and isinstance(b, str):
        return plain(a) == plain(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def plain(text: str) -> str:
    """Return a text for comparison: compatible forms, no case, no invisible characters.

    >>> plain("\\u202eThe  \\uff33ky\\u200b is Blue ")
    'the sky is blue'
    """
    kept = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join("".join(kept).casefold().split())


def shown(value: JSON) -> str:
    """Return a value as one would say it.

    >>> shown(3.0), shown("rain"), shown(True), shown(["a", 2])
    ('3', 'rain', 'yes', 'a, 2')
    """
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return ", ".join(map(shown, value))
    return dumps(value)


# What is said -----------------------------------------------------------------------------------


def _names(text: str, value: JSON) -> bool:
    """Whether a text names a value, as whole words."""
    if isinstance(value, list):
        return all(_names(text, each) for each in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) in _numbers(text)
    word = plain(shown(value))
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", plain(text)) is not None


def _evades(scene: Scene, value: JSON, at: str) -> bool:
    """Whether an answer names other values too, so that one of them may be right by chance."""
    assert scene.said is not None
    field = PATH_STEP.findall(at)[-1][0] if at else ""
    heard = scene.heard[-1] if scene.heard else ""
    others = [
        *scene.options.get(field, ()),
        *(v for e in scene.memory for v in _under(e.result, field)),
    ]
    allowed = [value, *scene.expected]
    for other in others if field else ():
        if any(same(other, each) for each in allowed) or _names(heard, other):
            continue
        if any(isinstance(each, str) and _names(each, other) for each in allowed):
            continue  # "blue" where "dark blue" is right
        if _names(scene.said, other):
            return True
    known = set(_numbers(" ".join(scene.heard)))
    for entry in scene.memory:
        known.update(_numbers(dumps([dict(entry.arguments), entry.result])))
    strays = [n for n in _numbers(scene.said) if n not in known and not any(
        same(n, each) for each in allowed)]  # fmt: skip
    return len(strays) > MOST_STRAY_NUMBERS


def _numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in _NUMBER.findall(plain(text))]


def _under(value: JSON, field: str) -> Iterable[JSON]:
    """Yield the plain values that stand under a key, however deep."""
    if isinstance(value, list):
        for each in value:
            yield from _under(each, field)
    elif isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, dict | list):
                yield from _under(each, field)
            elif key == field:
                yield each


# References -------------------------------------------------------------------------------------


def _is_reference(value: object) -> bool:
    return (
        isinstance(value, Mapping) and "result" in value and value.keys() <= {"result", "of", "at"}
    )


def _matches(entry: Entry, arguments: Mapping[str, Any], before: Sequence[Entry]) -> bool:
    for key, value in arguments.items():
        want = taken(value, before)
        if want is _MISSING or key not in entry.arguments or not same(entry.arguments[key], want):
            return False
    return True


def _follow(value: Any, path: str) -> Any:
    for key, extreme, by, place in PATH_STEP.findall(path):
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
        if extreme and isinstance(value, list):
            able = [
                e for e in value if isinstance(e, Mapping) and isinstance(e.get(by), int | float)
            ]
            if not able:
                return _MISSING
            value = (min if extreme == "min" else max)(able, key=lambda each: each[by])
        elif place:
            if not isinstance(value, list) or int(place) >= len(value):
                return _MISSING
            value = value[int(place)]
    return value
