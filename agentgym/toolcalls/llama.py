"""Llama 3 JSON."""

import re
from collections.abc import Sequence

from agentgym.toolcalls.base import Piece, ToolFormat, end_of_bad
from agentgym.toolcalls.strict import Malformed, Problem, call_of, dumps_call, read_json, skip_space
from agentgym.types import ToolCall

TAG = "<|python_tag|>"
_BEGINS = re.compile(r"\s*(?:\[\s*)?\{")
_LATER = re.compile(r"^[ \t]*(?:\[\s*)?(?=\{\s*\"(?:type|name)\"\s*:)", re.MULTILINE)
_BETWEEN = re.compile(r"\s*[;,]?\s*(?=\{)")


class Llama(ToolFormat):
    """`{"name": ..., "parameters": {...}}`, bare or behind `<|python_tag|>`.

    There are no closing tags, so a reply that begins with an object is a call, and text behind a
    call is a problem. `<|python_tag|>` is a control token: tokenizers drop it when they decode, so
    it is read where it is seen and never written. Several calls stand in a list or behind `;`.

    >>> Llama().write([ToolCall("add", {"a": 1})])
    '{"name": "add", "parameters": {"a": 1}}'
    """

    name = "llama"
    stop_tokens = ("<|eom_id|>",)
    _how = (
        "To use a tool, answer with nothing but its name and arguments as one JSON object:\n"
        '{"name": "...", "parameters": {...}}\n'
        "Several calls are separated by a semicolon. When you need no tool any more, answer in "
        "plain words."
    )

    def _next(self, text: str, pos: int) -> Piece | None:
        start = text.find(TAG, pos)
        if (found := _BEGINS.match(text, pos)) or (found := _LATER.search(text, pos)):
            here = found.start()
            start = here if start < 0 else min(start, here)
        if start < 0:
            return None
        begin = start + len(TAG) if text.startswith(TAG, start) else start
        calls: list[ToolCall] = []
        end = skip_space(text, begin)
        try:
            while True:
                value, end = read_json(text, end)
                for each in value if isinstance(value, list) else [value]:
                    # Llama 3.1 likes to add "type": "function", and at times says "arguments".
                    calls.append(call_of(each, ("parameters", "arguments"), ("type",)))
                more = _BETWEEN.match(text, end)
                if more is None:
                    break
                end = more.end()
        except Malformed as error:
            stop = end_of_bad(text, end, (), (TAG,))
            return Piece(start, stop, tuple(calls), (error.problem,))
        rest = text[end : end_of_bad(text, end, (), (TAG,))]
        problems = (Problem("trailing", _trailing(rest)),) if rest.strip() else ()
        return Piece(start, end, tuple(calls), problems)

    def _written(self, calls: Sequence[ToolCall]) -> str:
        return "; ".join(dumps_call(call, "parameters") for call in calls)

    def result(self, content: str) -> str:
        """Return a tool's result as part of a user's message."""
        return f"Result: {content}"


def _trailing(rest: str) -> str:
    return f"nothing may follow a call, but {rest.strip()[:60]!r} does"
