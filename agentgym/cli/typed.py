"""Calls of tools as a person types and reads them."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from agentgym.toolcalls import Reply, functions
from agentgym.types import JSON, ToolCall

HOW = 'A tool is called by its name and arguments: name key=value other="two words"'


def typed_action(line: str, tools: Iterable[Mapping[str, JSON]]) -> str:
    """Return the action that a line means: a call if it begins with a tool's name, else words.

    Raises:
        ValueError: it begins like a call, and is none; says why.

    >>> find = {"name": "find", "parameters": {"type": "object", "properties": {"n": {}}}}
    >>> typed_action("find n=3", [find])
    '{"calls": [{"name": "find", "arguments": {"n": 3}}]}'
    >>> typed_action("find it yourself", [find])
    'find it yourself'
    """
    name, _, rest = line.strip().partition(" ")
    known = {tool["name"]: tool for tool in functions(tools)}
    if name not in known:
        return line
    rest = rest.strip()
    if rest.startswith("{"):
        given = json.loads(rest)
    else:
        words = shlex.split(rest)
        if not all("=" in word for word in words):
            return line
        properties = known[name]["parameters"].get("properties", {})
        given = {}
        for word in words:
            key, _, value = word.partition("=")
            given[key] = _value(value, properties.get(key, {}))
    return Reply("", (ToolCall(name, given),)).action


def shown_action(action: str) -> str:
    """Return an action in canonical form as lines to read.

    >>> shown_action('{"text": "One moment.", "calls": [{"name": "find", "arguments": {"n": 3}}]}')
    'One moment.\\nfind n=3'
    """
    reply = Reply.of_action(action)
    lines = [reply.text] if reply.text else []
    for call in reply.calls:
        given = [f"{key}={_written(value)}" for key, value in call.arguments.items()]
        lines.append(" ".join([call.name, *given]))
    return "\n".join([*lines, *([reply.complaint] if reply.problems else [])])


def tool_lines(tools: Iterable[Mapping[str, JSON]]) -> list[str]:
    """Return one line per tool: name, arguments, the first line of what it does.

    >>> tool_lines([{"name": "find", "description": "Find a thing.", "parameters": {}}])
    ['find: Find a thing.']
    """
    lines = []
    for tool in functions(tools):
        asked = " ".join(tool["parameters"].get("properties", {}))
        head = f"{tool['name']} {asked}".strip()
        lines.append(f"{head}: {tool['description'].partition(chr(10))[0]}".rstrip(": "))
    return lines


def _value(text: str, schema: Any) -> JSON:
    """Read a value: text where the schema wants text, else JSON where it is JSON."""
    if isinstance(schema, Mapping) and schema.get("type") == "string":
        return text
    try:
        value: JSON = json.loads(text)
    except ValueError:
        return text
    return value


def _written(value: JSON) -> str:
    return shlex.quote(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
