"""Hermes JSON, the format of Qwen2.5 and Qwen3."""

from collections.abc import Sequence

from agentgym.toolcalls.base import Piece, ToolFormat, end_of_bad
from agentgym.toolcalls.strict import Malformed, Problem, call_of, dumps_call, read_json, skip_space
from agentgym.types import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class Hermes(ToolFormat):
    r"""`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, one pair of tags per call.

    >>> Hermes().write([ToolCall("add", {"a": 1})], "Let me see.")
    'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    >>> Hermes().parse('<tool_call>{"name": "add", "arguments": [1]}</tool_call>').complaint
    'Malformed tool call: the arguments must be an object, not a list'
    """

    name = "hermes"
    tags = (OPEN, CLOSE)
    _how = (
        "To use a tool, write its name and arguments as one JSON object between tags:\n"
        '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>\n'
        "Several calls may follow one another. The results come back between <tool_response> and "
        "</tool_response>. When you need no tool any more, answer without a call."
    )

    def _next(self, text: str, pos: int) -> Piece | None:
        start = text.find(OPEN, pos)
        if start < 0:
            return None
        # Decoded from its beginning, not cut at the closing tag: a string may hold that tag.
        begin = skip_space(text, start + len(OPEN))
        try:
            value, end = read_json(text, begin)
            end = skip_space(text, end)
            if text.startswith(CLOSE, end):
                call = call_of(value, ("arguments",))
                return Piece(start, end + len(CLOSE), (call,))
            begin = end
            problem = Problem("json", f"something stands between the object and {CLOSE}")
        except Malformed as error:
            problem = error.problem
        end = end_of_bad(text, begin, (CLOSE,), (OPEN,))
        if not text.startswith(CLOSE, end - len(CLOSE)) and problem.kind == "json":
            problem = Problem("unclosed", f"{OPEN} has no {CLOSE}; {problem.message}")
        return Piece(start, end, (), (problem,))

    def _written(self, calls: Sequence[ToolCall]) -> str:
        return "\n".join(f"{OPEN}\n{dumps_call(call, 'arguments')}\n{CLOSE}" for call in calls)
