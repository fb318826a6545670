"""What every tool-call format shares: the canonical reply, and the scan of a reply."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from agentgym.errors import ConfigError, UserError
from agentgym.toolcalls.strict import (
    MAX_DEPTH,
    NAME,
    Kind,
    Malformed,
    Problem,
    call_of,
    dumps,
    read_json,
)
from agentgym.types import JSON, ToolCall

MAX_CHARS = 1_000_000  #: of a reply; a longer one is not read at all
MAX_CALLS = 64  #: of a reply; those beyond are not carried out
MAX_COMPLAINTS = 5  #: about malformed calls, in one observation

_KINDS = frozenset(get_args(Kind))
_THINK = re.compile(r"</?think>")
_CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a model in canonical form, whatever the format it was written in.

    >>> Reply("One moment.", (ToolCall("add", {"a": 1}),)).action
    '{"text": "One moment.", "calls": [{"name": "add", "arguments": {"a": 1}}]}'
    """

    text: str = ""  #: what it says besides its calls, without the thinking
    calls: tuple[ToolCall, ...] = ()  #: the well-formed calls, in order
    problems: tuple[Problem, ...] = ()
    thinking: str = ""

    @property
    def action(self) -> str:
        """The reply as one line of JSON, to be the action of an environment with tools."""
        said: dict[str, Any] = {}
        if self.text:
            said["text"] = self.text
        if self.calls:
            said["calls"] = [
                {"name": call.name, "arguments": dict(call.arguments)} for call in self.calls
            ]
        if self.problems:
            said["problems"] = [
                {"kind": problem.kind, "message": problem.message} for problem in self.problems
            ]
        return json.dumps(said, ensure_ascii=False)

    @property
    def complaint(self) -> str:
        """The problems as lines of an observation; empty if there are none."""
        lines = [f"Malformed tool call: {each.message}" for each in self.problems[:MAX_COMPLAINTS]]
        more = len(self.problems) - len(lines)
        return "\n".join([*lines, f"and {more} more"] if more else lines)

    @classmethod
    def of_action(cls, action: str) -> "Reply":
        """Return the reply that has this `action`; any other string is a reply of that text."""
        try:
            return _from_action(action)
        except (Malformed, TypeError, KeyError):
            return cls(action)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a reply that is, or was meant to be, one call or several."""

    start: int
    end: int
    calls: tuple[ToolCall, ...] = ()
    problems: tuple[Problem, ...] = ()


class ToolFormat(ABC):
    """One way in which a model writes down tool calls.

    Attributes:
        tools: what may be called, as {"name", "description", "parameters"}; may be empty.
    """

    name: ClassVar[str]
    tags: ClassVar[tuple[str, ...]] = ()  #: what a tokenizer must not drop from a reply
    stop_tokens: ClassVar[tuple[str, ...]] = ()  #: end a reply besides the template's end of turn

    def __init__(self, tools: Iterable[Mapping[str, JSON]] = ()) -> None:
        """Take the tools.

        Raises:
            ConfigError: one is no description of a tool, or two have one name.
        """
        self.tools = functions(tools)

    def parse(self, text: str) -> Reply:
        """Return what a reply says and the calls it makes. Never raises, whatever the text.

        A call inside thinking is not made; where no other follows it is a problem. A reply that
        begins with thinking needs no `<think>`, which may have been part of the prompt.
        """
        if len(text) > MAX_CHARS:
            long = f"the reply has {len(text)} characters; {MAX_CHARS} are read"
            return Reply(problems=(Problem("too_long", long),))
        said: list[str] = []
        thought: list[str] = []
        calls: list[ToolCall] = []
        problems: list[Problem] = []
        dreamt, pos = False, 0
        many = False
        for _ in range(MAX_CALLS + 16):  # calls, and tags of thinking
            piece = self._next(text, pos)
            stop = len(text) if piece is None else piece.start
            tag = _THINK.search(text, pos, stop)
            if tag is None:
                said.append(text[pos:stop])
                if piece is None:
                    break
                calls += piece.calls
                problems += piece.problems
                pos = piece.end
            elif tag[0] == _CLOSE:  # all before it was thinking that the prompt had begun
                dreamt = dreamt or bool(calls or problems)
                thought = [text[: tag.start()]]
                said, calls, problems = [], [], []
                pos = tag.end()
            else:
                said.append(text[pos : tag.start()])
                close = text.find(_CLOSE, tag.end())
                thought.append(text[tag.end() : len(text) if close < 0 else close])
                dreamt = dreamt or self._next(thought[-1], 0) is not None
                if close < 0:
                    problems.append(Problem("unclosed", "the reply ends inside <think>"))
                    break
                pos = close + len(_CLOSE)
        else:
            many = True
        if many or len(calls) > MAX_CALLS:
            made = f"too many calls; only the first {min(len(calls), MAX_CALLS)} are made"
            problems.append(Problem("too_many", made))
        if dreamt and not calls:
            inside = "a call inside <think> is not made; write it after </think>"
            problems.append(Problem("thinking", inside))
        return Reply(
            "".join(said).strip(),
            tuple(calls[:MAX_CALLS]),
            tuple(problems),
            "\n".join(thought).strip(),
        )

    def write(self, calls: Sequence[ToolCall], text: str = "") -> str:
        """Return a reply as the model would write it: text, then calls.

        Raises:
            UserError: a call cannot be written in this format, or not in JSON at all.
        """
        for call in calls:
            if not NAME.fullmatch(call.name):
                raise UserError(f"{call.name!r} cannot be the name of a tool")
        return "\n".join(filter(None, (text, self._written(calls) if calls else "")))

    def mentions_calls(self, text: str) -> bool:
        """Whether a reply has something in it that is, or was meant to be, a call."""
        return self._next(text, 0) is not None

    def instructions(self) -> str:
        """Return what a model is told whose chat template does not speak of tools."""
        shown = "\n".join(
            f"- {tool['name']}: {tool['description'] or 'no description'}\n"
            f"  arguments: {dumps(tool['parameters'])}"
            for tool in self.tools
        )
        return (
            "You can use tools. Each is listed with the JSON schema of its arguments.\n\n"
            f"{shown}\n\n{self._how}"
        )

    def result(self, content: str) -> str:
        """Return a tool's result as part of a user's message, for such templates."""
        return f"<tool_response>\n{content}\n</tool_response>"

    _how: ClassVar[str]

    @abstractmethod
    def _next(self, text: str, pos: int) -> Piece | None:
        """Return the first call at or behind a position, well-formed or not."""

    @abstractmethod
    def _written(self, calls: Sequence[ToolCall]) -> str:
        """Return the calls as text."""


def end_of_bad(text: str, pos: int, closings: tuple[str, ...], openings: tuple[str, ...]) -> int:
    """Return where a malformed call ends that began before `pos`.

    Behind the first of its closing tags, or before the next call or the end of thinking.
    """
    ends = [found + len(tag) for tag in closings if (found := text.find(tag, pos)) >= 0]
    ends += [found for tag in (*openings, _CLOSE) if (found := text.find(tag, pos)) >= 0]
    return min(ends, default=len(text))


# Tools -----------------------------------------------------------------------------------------


def functions(tools: Iterable[Mapping[str, JSON]]) -> tuple[dict[str, Any], ...]:
    """Return tools as {"name", "description", "parameters"}.

    Both that form and {"type": "function", "function": {...}} are taken.

    Raises:
        ConfigError: one is neither, or two have one name.
    """
    found: dict[str, dict[str, Any]] = {}
    for tool in tools:
        inner = tool.get("function") if isinstance(tool, Mapping) else None
        schema: Any = inner if isinstance(inner, Mapping) else tool
        name = schema.get("name") if isinstance(schema, Mapping) else None
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError(f"a tool needs a name of letters, digits and _.:/-; got {tool!r:.80}")
        parameters = schema.get("parameters", {"type": "object", "properties": {}})
        if not isinstance(parameters, Mapping):
            raise ConfigError(
                f"the parameters of the tool {name} must be a JSON schema, got {parameters!r:.80}"
            )
        if name in found:
            raise ConfigError(f"two tools have the name {name!r}; rename one of them")
        description = str(schema.get("description") or "")
        found[name] = {
            "name": name,
            "description": description,
            "parameters": dict(parameters),
        }
    return tuple(found.values())


# ----------------------------------------------------------------------------------------------


def _from_action(action: str) -> Reply:
    value, end = read_json(action, depth=MAX_DEPTH + 4)  # arguments stand four levels down
    if end != len(action) or not isinstance(value, dict) or value.keys() - _ACTION:
        raise Malformed("fields", "not an action")
    said: Any = value
    text, problems = said.get("text", ""), said.get("problems", [])
    calls = tuple(call_of(each, ("arguments",)) for each in said.get("calls", []))
    found = tuple(Problem(each["kind"], each["message"]) for each in problems)
    if not isinstance(text, str) or any(
        each.kind not in _KINDS or not isinstance(each.message, str) for each in found
    ):
        raise Malformed("fields", "not an action")
    return Reply(text, calls, found)


_ACTION = {"text", "calls", "problems"}
