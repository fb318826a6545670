"""Calls out of text: strict JSON, and what makes an object a call."""

import json
import math
import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from agentgym.errors import UserError
from agentgym.types import JSON, ToolCall

Kind = Literal[
    "json",  # not JSON: cut, wrongly quoted, something behind it, a character that UTF-8 lacks
    "duplicate_key",
    "number",  # NaN, Infinity, beyond the range of a double, or thousands of digits
    "too_deep",
    "too_long",
    "too_many",
    "unclosed",  # a tag without its end: the reply was cut, or the end forgotten
    "fields",  # a call with unknown fields, or without those it needs
    "name",  # a tool's name that no tool can have
    "arguments",  # arguments that are not an object
    "thinking",  # a call that stands inside thinking only
    "trailing",  # text behind a call, where the form has none
]

MAX_DEPTH = 64  #: of nested lists and objects in arguments

NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_:/-]|\.(?!\.)){0,127}")
"""Names that a tool can have: nothing that could lead out of a folder."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a reply that is not a tool call but looks like one. Data, never an exception."""

    kind: Kind
    message: str  #: for the model: what was wrong


class Malformed(Exception):
    """Raised while a call is read, and turned into a `Problem` before anybody sees it."""

    def __init__(self, kind: Kind, message: str) -> None:
        self.problem = Problem(kind, message)
        super().__init__(message)


def read_json(text: str, pos: int = 0, depth: int = MAX_DEPTH) -> tuple[JSON, int]:
    """Return the JSON value that begins at a position, and where it ends.

    Raises:
        Malformed: there is none that could be kept, with the reason.
    """
    try:
        value, end = _DECODER.raw_decode(text, pos)
    except json.JSONDecodeError as error:
        where = f"at character {error.pos - pos} of {text[pos : pos + 60]!r}"
        raise Malformed("json", f"not valid JSON: {error.msg} {where}") from error
    except ValueError as error:  # more digits than Python turns into an int
        raise Malformed("number", "a number has too many digits") from error
    except RecursionError as error:
        raise Malformed("too_deep", _TOO_DEEP) from error
    # Most texts show at a glance that nothing is wrong with them.
    if text.count("{", pos, end) + text.count("[", pos, end) > depth and _deeper(value, depth):
        raise Malformed("too_deep", _TOO_DEEP)
    if not text.isascii() or "\\u" in text:
        well_encoded(dumps(value))
    return value, end


def well_encoded(text: str) -> str:
    """Return the text.

    Raises:
        Malformed: it has half of a surrogate pair, which no tokenizer takes.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("json", "a string holds half of a surrogate pair (\\ud800...)") from error
    return text


def dumps(value: JSON) -> str:
    """Return a value as JSON in the spacing of chat templates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def dumps_call(call: ToolCall, arguments: str) -> str:
    """Return a call as a JSON object of its name and, under that key, its arguments.

    Raises:
        UserError: an argument is not JSON.
    """
    try:
        return dumps({"name": call.name, arguments: dict(call.arguments)})
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the arguments of {call.name} are not JSON: {error}") from error


def call_of(value: JSON, arguments: tuple[str, ...], ignored: tuple[str, ...] = ()) -> ToolCall:
    """Return the call that an object stands for.

    Args:
        value: what was read.
        arguments: the keys under which the arguments may stand; the first is the usual one.
        ignored: keys that say nothing.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, dict):
        raise Malformed("fields", f"a call is an object, not {_kind_of(value)}")
    given = [key for key in arguments if key in value]
    unknown = sorted(value.keys() - {"name", *given, *ignored})
    if unknown:
        raise Malformed("fields", f"a call has no field {unknown[0]!r:.60}")
    if "name" not in value:
        raise Malformed("fields", "a call needs the field 'name'")
    if len(given) != 1:
        raise Malformed("fields", f"a call needs the field {arguments[0]!r} once")
    return ToolCall(tool_name(value["name"]), tool_arguments(value[given[0]]))


def tool_name(value: JSON) -> str:
    """Return the name.

    Raises:
        Malformed: no tool can have it.
    """
    if not isinstance(value, str):
        raise Malformed("name", f"the name of a tool is a string, not {_kind_of(value)}")
    if not NAME.fullmatch(value):
        raise Malformed("name", f"{value[:60]!r} cannot be the name of a tool")
    return value


def tool_arguments(value: JSON) -> dict[str, JSON]:
    """Return the arguments.

    Raises:
        Malformed: they are no object.
    """
    if not isinstance(value, dict):
        raise Malformed("arguments", f"the arguments must be an object, not {_kind_of(value)}")
    return value


def skip_space(text: str, pos: int) -> int:
    """Return where the white space that begins at a position ends."""
    found = _SPACE.match(text, pos)
    return pos if found is None else found.end()


# ----------------------------------------------------------------------------------------------

_TOO_DEEP = f"lists and objects are nested more than {MAX_DEPTH} deep"
_SPACE = re.compile(r"\s*")


def _deeper(value: JSON, depth: int) -> bool:
    """Whether lists and objects are nested more than so deep; without recursion."""
    level: list[JSON] = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _kind_of(value: JSON) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Malformed("duplicate_key", f"the key {twice!r:.60} occurs twice")
    return made


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Malformed("number", f"the number {digits:.40} is too large")
    return number


def _constant(word: str) -> NoReturn:
    raise Malformed("number", f"{word} is not a number that JSON has")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
