"""Tools of MCP servers (Model Context Protocol), through the official package `mcp`."""

import json
import re
import shlex
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentgym.errors import ConfigError, EpisodeFailure, ToolError, UnknownName
from agentgym.tools._mcp_link import Link, Where
from agentgym.tools._tool import Tool
from agentgym.types import JSON

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as Described

__all__ = ["McpServer"]

_SHOWN_FAULTS: Final = 8
_SHOWN: Final = 120


class McpServer:
    """A connection to an MCP server, whose tools are ours as long as it lasts.

    Whatever a call changes is in the server's process: it cannot be copied. Start one server for
    each environment, and `restart` it where an episode begins.

    Attributes:
        tools: for `Toolset(server.tools)`. What the agent gets wrong is a `ToolError`; a server
            that dies, is late or breaks the protocol is an `EpisodeFailure` of the boundary "tool".
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        only: Iterable[str] | Mapping[str, str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        key_env: str = "",
        timeout_s: float = 10.0,
        start_timeout_s: float = 30.0,
    ) -> None:
        """Connect, and list the tools.

        Args:
            server: the address of one that runs ("http://127.0.0.1:8000/mcp", streamable HTTP), or
                the command that starts one on standard input and output, as text or in words.
            only: the names of the tools to take, by default all; or a mapping from names there to
                names here. Signs that our names cannot have become `_`.
            env: variables for the command, which otherwise gets PATH, HOME and the like, and no
                more. cwd: the folder to start it in.
            key_env: the variable that holds the key for an address, sent as bearer token.
            timeout_s: seconds for one call. start_timeout_s: seconds to connect and list.

        Raises:
            ConfigError: the package `mcp` is missing; the server cannot be used; a tool has a name
                or a schema that cannot be taken.
            UnknownName: `only` names a tool that the server does not have.
        """
        for what, limit in (("timeout_s", timeout_s), ("start_timeout_s", start_timeout_s)):
            if not limit > 0:
                raise ConfigError(f"{what} must be above 0, got {limit!r}")
        if isinstance(only, str):
            raise ConfigError(f"only must be a list of names, [{only!r}], not one text")
        need_mcp()
        self._where = _where(server, env, cwd, key_env)
        self._limits = {"timeout_s": timeout_s, "start_timeout_s": start_timeout_s}
        self._link = Link(self._where, **self._limits)
        self.close = weakref.finalize(self, self._link.close)
        try:
            self.tools = self._taken(only)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "McpServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self, memo: object) -> "McpServer":
        raise NotImplementedError("what an MCP server remembers is in its process; start another")

    def __str__(self) -> str:
        return str(self._where)

    @property
    def alive(self) -> bool:
        """Whether calls can be made: not closed, and not known to be dead."""
        return self._link.alive

    def restart(self) -> None:
        """Connect anew; a server that a command starts then remembers nothing.

        Nothing is done where no call has been made yet.

        Raises:
            EpisodeFailure: the server cannot be used any more, or lacks a tool that was taken.
        """
        if self._link.alive and not self._link.used:
            return
        self.close()
        try:
            self._link = Link(self._where, **self._limits)
        except ConfigError as error:
            raise EpisodeFailure("tool", str(error)) from error
        self.close = weakref.finalize(self, self._link.close)
        there = {tool.name for tool in self._link.tools}
        for tool in self.tools:
            if isinstance(tool.run, _Run) and tool.run.there not in there:
                lost = f"the MCP server ({self}) has no tool {tool.run.there!r} any more"
                raise EpisodeFailure("tool", lost)

    def _taken(self, only: Iterable[str] | Mapping[str, str]) -> tuple[Tool, ...]:
        """Return the tools that were asked for, in the server's order."""
        there = {tool.name: tool for tool in self._link.tools}
        names = dict(only) if isinstance(only, Mapping) else {name: "" for name in only}
        for name in names:
            if name not in there:
                raise UnknownName(f"tool of the MCP server ({self})", name, there)
        taken: dict[str, str] = {}
        tools = []
        for name, described in there.items():
            if names and name not in names:
                continue
            ours = names.get(name) or re.sub(r"[^a-zA-Z0-9_-]", "_", name)
            if ours in taken:
                raise ConfigError(
                    f"two tools of the MCP server ({self}) would be called {ours!r}: "
                    f"{taken[ours]!r} and {name!r}; name them: only={{{name!r}: 'other_name', ...}}"
                )
            taken[ours] = name
            tools.append(self._tool(described, ours))
        return tuple(tools)

    def _tool(self, described: "Described", name: str) -> Tool:
        schema: dict[str, JSON] = {"properties": {}, **described.input_schema}
        try:
            reader = _Reader(schema)
            text = described.description or described.title or described.name
            return Tool(name, text, schema, reader, _Run(self, described.name))
        except ConfigError as error:
            raise ConfigError(
                f"the MCP server ({self}) offers {described.name!r}, which cannot be taken: "
                f"{error}; name the tools that you want: only=[...]"
            ) from error


class _Run:
    """Calls one tool of a server."""

    def __init__(self, server: McpServer, there: str) -> None:
        self.server, self.there = server, there

    def __call__(self, /, **arguments: object) -> str:
        from mcp import MCPError
        from mcp.types import INVALID_PARAMS

        try:
            result = self.server._link.call(self.there, arguments)
        except MCPError as error:
            if error.code == INVALID_PARAMS:
                raise ToolError(error.message) from None
            raise EpisodeFailure(
                "tool", f"the MCP server ({self.server}) failed {self.there}: {error.message}"
            ) from error
        text = text_of(result)
        if result.is_error:
            raise ToolError(text)
        return text


class _Reader:
    """Checks arguments against a tool's JSON Schema."""

    def __init__(self, schema: Mapping[str, JSON]) -> None:
        """Read the schema.

        Raises:
            ConfigError: it is none, or refers to another document.
        """
        from jsonschema import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry

        cls = validator_for(schema, default=Draft202012Validator)
        try:
            cls.check_schema(schema)
        except SchemaError as error:
            place = ".".join(map(str, ("parameters", *error.absolute_path)))
            raise ConfigError(f"no valid JSON Schema: {place}: {error.message:.{_SHOWN}}") from None
        for ref in _refs(schema):
            if not ref.startswith("#"):
                raise ConfigError(f"its schema refers to another document, {ref:.{_SHOWN}}")
        self._validator = cls(schema, registry=Registry())

    def __call__(self, arguments: Mapping[str, JSON]) -> Mapping[str, object]:
        from jsonschema.exceptions import relevance

        given = dict(arguments)
        try:
            json.dumps(given, allow_nan=False)
            faults = sorted(self._validator.iter_errors(given), key=relevance)
        except RecursionError:
            raise ToolError("the arguments are nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise ToolError(f"the arguments are not JSON: {error!s:.{_SHOWN}}") from None
        if faults:
            said = [
                f"{'.'.join(map(str, fault.absolute_path)) or 'the arguments'}: "
                f"{fault.message:.{_SHOWN}}"
                for fault in faults[:_SHOWN_FAULTS]
            ]
            raise ToolError(f"wrong arguments: {'; '.join(said)}")
        return given


def text_of(result: "CallToolResult") -> str:
    """Return a result as text; what is no text is named, with its size.

    Structured content is shown where there is no other.
    """
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts) or "done"


def _part(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_size(block.data)}, not shown]"
        case "resource_link":
            return f"[resource {block.name}: {block.uri}]"
        case _:
            inside = block.resource
            if hasattr(inside, "text"):
                return f"[resource {inside.uri}]\n{inside.text}"
            kind = inside.mime_type or "binary"
            return f"[resource {inside.uri}, {kind}, {_size(inside.blob)}, not shown]"


def _size(base64: str) -> str:
    return f"{len(base64.rstrip('=')) * 3 // 4} bytes"


def _refs(schema: object) -> Iterable[str]:
    """Yield every reference in a schema."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _refs(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _refs(each)


def _where(
    server: str | Sequence[str],
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    key_env: str,
) -> Where:
    """Return how a server is reached.

    Raises:
        ConfigError: it is neither an address nor a command, or an option does not fit.
    """
    is_address = isinstance(server, str) and server.startswith(("http://", "https://"))
    if is_address and (env or cwd):
        raise ConfigError("env and cwd are for a command that starts a server, not for an address")
    if not is_address and key_env:
        raise ConfigError("key_env is for an address; a command gets its keys through env")
    if is_address:
        return Where(address=str(server), key_env=key_env)
    try:
        words = shlex.split(server) if isinstance(server, str) else [str(word) for word in server]
    except ValueError as error:
        raise ConfigError(f"{server!r} cannot be split into words: {error}") from None
    if not words or any("\0" in word for word in words):
        raise ConfigError(f"{server!r} is neither an address (http://...) nor a command")
    return Where(command=tuple(words), env=dict(env or {}), cwd=Path(cwd) if cwd else None)


def need_mcp() -> None:
    """Raise a ConfigError that says what to install, unless the package `mcp` is there."""
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"MCP needs the package 'mcp' ({error}); install it with: pip install 'agentgym[mcp]'"
        ) from error
