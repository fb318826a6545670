"""The XML-like format of Qwen3-Coder."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.errors import UserError
from agentgym.toolcalls.base import Piece, ToolFormat, end_of_bad
from agentgym.toolcalls.strict import (
    Malformed,
    dumps,
    read_json,
    skip_space,
    tool_name,
    well_encoded,
)
from agentgym.types import JSON, ToolCall

_START = re.compile(r"<tool_call>\s*(?:<function=)?|<function=")
_KEY = re.compile(r"<parameter=([^<>\n]+)>")
_TAG = re.compile(r"</?(?:tool_call|function|parameter)\b|</?think>")
_END = "</parameter>"


class QwenXml(ToolFormat):
    r"""`<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`.

    A value is plain text: a string as it is, anything else as JSON. What "5" means is up to the
    tool's schema: where that wants a string it is one, otherwise whatever JSON says. A string that
    would be read as something else, or that holds one of the tags, is written as a JSON string
    with `\u` escapes, and read back as such.

    >>> QwenXml().parse("<function=add><parameter=a>1</parameter></function>").calls
    (ToolCall(name='add', arguments={'a': 1}, id=''),)
    """

    name = "qwen_xml"
    tags = ("<tool_call>", "</tool_call>")
    _how = (
        "To use a tool, write:\n"
        "<tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n</function>\n"
        "</tool_call>\n"
        "with one parameter for each argument. Several calls may follow one another. The results "
        "come back between <tool_response> and </tool_response>. When you need no tool any more, "
        "answer without a call."
    )

    def _next(self, text: str, pos: int) -> Piece | None:
        found = _START.search(text, pos)
        if found is None:
            return None
        start, end = found.start(), found.end()
        wrapped = text.startswith("<tool_call>", start)
        try:
            if not found[0].endswith("<function="):
                raise Malformed("fields", "<tool_call> must be followed by <function=name>")
            close = re.compile(r"[^<>\n]*").match(text, end)
            assert close is not None
            if not text.startswith(">", close.end()):
                raise Malformed("unclosed", "<function= has no >")
            name = tool_name(close[0].strip())
            arguments, end = self._parameters(name, text, close.end() + 1)
            if not text.startswith("</function>", end):
                raise Malformed("unclosed", "<function=...> has no </function>")
            end += len("</function>")
            if wrapped:
                end = skip_space(text, end)
                if not text.startswith("</tool_call>", end):
                    raise Malformed("unclosed", "<tool_call> has no </tool_call>")
                end += len("</tool_call>")
            return Piece(start, end, (ToolCall(name, arguments),))
        except Malformed as error:
            closing = "</tool_call>" if wrapped else "</function>"
            stop = end_of_bad(text, end, (closing,), ("<tool_call>",))
            return Piece(start, stop, (), (error.problem,))

    def _parameters(self, name: str, text: str, pos: int) -> tuple[dict[str, JSON], int]:
        """Return the arguments from a position on, and where they end."""
        arguments: dict[str, JSON] = {}
        while found := _KEY.match(text, pos := skip_space(text, pos)):
            key, begin = found[1], found.end()
            tag = _TAG.search(text, begin)
            while tag is not None and not text.startswith(_END, tag.start()):
                if text.startswith("<parameter=", tag.start()):
                    break  # the next parameter: this one was not closed
                tag = _TAG.search(text, tag.end())
            if tag is None or not text.startswith(_END, tag.start()):
                raise Malformed("unclosed", f"<parameter={key[:60]}> has no {_END}")
            if key in arguments:
                raise Malformed("duplicate_key", f"the parameter {key[:60]!r} occurs twice")
            value = text[begin : tag.start()].removeprefix("\n").removesuffix("\n")
            arguments[key] = _read(value, self._plain(name, key))
            pos = tag.start() + len(_END)
        return arguments, pos

    def _written(self, calls: Sequence[ToolCall]) -> str:
        return "\n".join(map(self._one, calls))

    def _one(self, call: ToolCall) -> str:
        lines = ["<tool_call>", f"<function={call.name}>"]
        for key, value in call.arguments.items():
            if not re.fullmatch(r"[^<>\n]+", key):
                raise UserError(
                    f"the argument {key!r} of {call.name} has a name that {self.name} cannot write"
                )
            lines += [f"<parameter={key}>", _write(value, self._plain(call.name, key)), _END]
        return "\n".join([*lines, "</function>", "</tool_call>"])

    def _plain(self, name: str, key: str) -> frozenset[str]:
        """Return the types of an argument whose schema wants a string (or null), else nothing."""
        tool = next((tool for tool in self.tools if tool["name"] == name), None)
        properties = tool["parameters"].get("properties") if tool else None
        schema = properties.get(key) if isinstance(properties, Mapping) else None
        types = _types(schema)
        return types if "string" in types and types <= {"string", "null"} else frozenset()


def _types(schema: Any) -> frozenset[str]:
    if not isinstance(schema, Mapping):
        return frozenset()
    named = schema.get("type")
    found = {named} if isinstance(named, str) else set()
    for each in named if isinstance(named, list) else ():
        found |= {str(each)}
    for each in schema.get("anyOf") or ():
        found |= _types(each) or {"any"}
    return frozenset(found)


def _read(text: str, plain: frozenset[str]) -> JSON:
    """Return the value that a text stands for; `plain`: the schema wants a string."""
    if plain and not (text.startswith('"\\u') or (text == "null" and "null" in plain)):
        return well_encoded(text)
    try:
        value, end = read_json(text, skip_space(text, 0))
        whole = not text[end:].strip()
    except Malformed as error:
        if error.problem.kind != "json":
            raise
        return well_encoded(text)
    return value if whole else text


def _write(value: JSON, plain: frozenset[str]) -> str:
    if not isinstance(value, str):
        try:
            text = dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"an argument is not JSON: {error}") from error
        return text.replace("<", "\\u003c") if _TAG.search(text) else text
    if not _TAG.search(value):
        try:
            if _read(value, plain) == value:
                return value
        except Malformed:
            pass
    return _escaped(value)


def _escaped(value: str) -> str:
    """Return a JSON string whose first character is an escape, which no plain string begins with.

    >>> print(_escaped("</function>"))
    "\\u003c/function>"
    """
    code = value[:1].encode("utf-16-be", "surrogatepass")
    first = "".join(f"\\u{code[i : i + 2].hex()}" for i in range(0, len(code), 2))
    return f'"{first}{dumps(value[1:])[1:]}'.replace("<", "\\u003c")
