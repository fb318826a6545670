"""ReAct lines, for models whose chat template knows no tools (Yao et al., arXiv 2210.03629)."""

import re
from collections.abc import Sequence

from agentgym.toolcalls.base import Piece, ToolFormat
from agentgym.toolcalls.strict import (
    Malformed,
    Problem,
    dumps_call,
    read_json,
    skip_space,
    tool_arguments,
    tool_name,
)
from agentgym.types import ToolCall

_ACTION = re.compile(r"^[ \t]*Action[ \t]*:[ \t]*([^\n]*)$", re.MULTILINE)
_INPUT = re.compile(r"\s*Action Input[ \t]*:")
_NEXT = re.compile(r"^[ \t]*(?:Action|Thought)[ \t]*:|</think>", re.MULTILINE)


class React(ToolFormat):
    r"""A line `Action:` with the tool's name, a line `Action Input:` with a JSON object.

    What stands before is text, `Thought:` or not. What follows a call, other than another call or
    thought, is a problem: such a reply most often makes up its own `Observation:`.

    >>> React().write([ToolCall("add", {"a": 1})], "Thought: a sum")
    'Thought: a sum\nAction: add\nAction Input: {"a": 1}'
    """

    name = "react"
    _how = (
        "To use a tool, write two lines and stop:\n"
        "Action: the name of the tool\n"
        "Action Input: its arguments as one JSON object\n"
        "For several calls repeat the two lines. The results come back as lines that begin with "
        "Observation. When you need no tool any more, answer without a line that begins with "
        "Action."
    )

    def _next(self, text: str, pos: int) -> Piece | None:
        found = _ACTION.search(text, pos)
        if found is None:
            return None
        end = found.end()
        try:
            name = tool_name(found[1].strip())
            given = _INPUT.match(text, end)
            if given is None:
                raise Malformed("fields", "a line 'Action:' needs a line 'Action Input:' below it")
            end = given.end()
            value, end = read_json(text, skip_space(text, end))
            call = ToolCall(name, tool_arguments(value))
        except Malformed as error:
            return Piece(found.start(), _until(text, end), (), (error.problem,))
        stop = _until(text, end)
        rest = text[end:stop].strip()
        problems: tuple[Problem, ...] = ()
        if rest:
            follows = f"nothing may follow a call before its result, but {rest[:60]!r} does"
            problems = (Problem("trailing", follows),)
        return Piece(found.start(), end, (call,), problems)

    def _written(self, calls: Sequence[ToolCall]) -> str:
        lines = []
        for call in calls:
            _, _, arguments = dumps_call(call, "arguments").partition('"arguments": ')
            lines.append(f"Action: {call.name}\nAction Input: {arguments[:-1]}")
        return "\n".join(lines)

    def result(self, content: str) -> str:
        """Return a tool's result as part of a user's message."""
        return f"Observation: {content}"


def _until(text: str, pos: int) -> int:
    found = _NEXT.search(text, pos)
    return len(text) if found is None else found.start()
