"""Tools: typed functions, or classes with state, that an agent calls by name with JSON arguments.

A function is a tool as it is: its docstring and its typed arguments are what the model is told. A
class is one by its `__call__`; every instance has a state of its own.

Nothing that an agent says makes a call raise. What it did wrong is the text of the result; what the
tool did wrong is that too, and a `Failure` attributed to it, which is nobody's reward.
"""

import ctypes
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from agentgym.errors import ConfigError, EpisodeFailure, ToolError, nearest
from agentgym.tools._schema import parse_arguments
from agentgym.tools._tool import Tool, as_tool
from agentgym.types import JSON, Failure

__all__ = ["Status", "Tool", "ToolResult", "Toolset", "as_tool"]

Status = Literal["ok", "unknown tool", "wrong arguments", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one call brought.

    Attributes:
        tool: its name, as it was called. text: what the agent sees.
        status: "ok"; the agent's mistakes are "unknown tool", "wrong arguments" and "refused" (by
            the tool); "failed" is the tool's own.
        left_out: characters that the output limit cut off; -1: some, not counted.
        failure: what failed, where `status` is "failed".
    """

    tool: str
    status: Status
    text: str
    left_out: int = 0
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the tool did what it was asked."""
        return self.status == "ok"

    def or_raise(self) -> "ToolResult":
        """Return this result, unless the tool failed.

        Raises:
            EpisodeFailure: it did; the episode is retried, then masked, and never reward 0.
        """
        if self.failure:
            said = f"{self.tool}: {self.failure.error}: {self.failure.message}"
            raise EpisodeFailure(self.failure.boundary, said)
        return self


class Toolset:
    """Tools by name, with limits. `call` never raises for what an agent says or a tool does.

    Copies (`copy.deepcopy`) have copies of the tools' state.
    """

    def __init__(
        self,
        tools: Iterable[object] | Mapping[str, object],
        *,
        timeout_s: float | None = 10.0,
        max_output: int = 10_000,
        max_arguments: int = 100_000,
    ) -> None:
        """Take in tools.

        Args:
            tools: what `as_tool` takes; or a mapping from the names they shall have.
            timeout_s: seconds for one call, which then runs in a thread of its own. A tool that
                does not return is out of service afterwards. None: no limit, and no thread.
            max_output: characters of a result. max_arguments: characters of arguments as JSON.

        Raises:
            ConfigError: two tools with one name, a limit that is none, or no tool: see `as_tool`.
        """
        for what, limit in (("max_output", max_output), ("max_arguments", max_arguments)):
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
                raise ConfigError(f"{what} must be a whole number of at least 1, got {limit!r}")
        if timeout_s is not None and not timeout_s > 0:
            raise ConfigError(f"timeout_s must be above 0, or None for no limit, got {timeout_s!r}")
        if isinstance(tools, str):
            raise ConfigError(f"give a list of tools, [{tools!r}], not one text")
        self.timeout_s, self.max_output, self.max_arguments = timeout_s, max_output, max_arguments
        self._tools: dict[str, Tool] = {}
        self._hung: set[str] = set()
        named = isinstance(tools, Mapping)
        for each in tools.items() if isinstance(tools, Mapping) else enumerate(tools):
            tool = as_tool(each[1], str(each[0]) if named else "")
            if tool.name in self._tools:
                raise ConfigError(
                    f"two tools are called {tool.name!r}; "
                    "name them: Toolset({'one_name': ..., 'other_name': ...})"
                )
            self._tools[tool.name] = tool

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order given."""
        return tuple(self._tools)

    @property
    def schemas(self) -> tuple[dict[str, JSON], ...]:
        """The tools in the form of OpenAI's function calling."""
        return tuple(tool.schema for tool in self._tools.values())

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def call(self, name: str, arguments: Mapping[str, JSON] | str) -> ToolResult:
        """Call a tool.

        Args:
            name: of the tool. arguments: by name, or as JSON text, which is read strictly.
        """
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            short = str(name)[:80]
            said = f"there is no tool {short!r}; {nearest(short, self._tools)}"
            return self._result(short, "unknown tool", f"error: {said}")
        if name in self._hung:
            return self._failed(name, TimeoutError("it did not return from an earlier call"))
        try:
            given = (
                parse_arguments(arguments, self.max_arguments)
                if isinstance(arguments, str)
                else arguments
            )
            values = tool.read(given)
        except ToolError as error:
            return self._result(name, "wrong arguments", f"error: {error}")
        except (Exception, SystemExit) as error:  # a reader of others
            return self._failed(name, error)
        try:
            text, left_out, broken = self._within(name, lambda: self._text(tool.run(**values)))
        except ToolError as error:
            return self._result(name, "refused", f"error: {error}")
        except (Exception, SystemExit) as error:  # the code of others may raise anything
            return self._failed(name, error)
        failure = Failure("tool", "ToolContract", broken) if broken else None
        return ToolResult(name, "failed" if broken else "ok", text, left_out, failure)

    def _within(self, name: str, work: "Callable[[], _Text]") -> "_Text":
        """Do work in time.

        Raises:
            TimeoutError: it is not done; the tool is out of service.
        """
        if self.timeout_s is None:
            return work()
        done: list[_Text | BaseException] = []

        def target() -> None:
            try:
                done.append(work())
            except BaseException as error:  # raised again where the call was made
                done.append(error)

        thread = threading.Thread(target=target, daemon=True, name=f"tool {name}")
        thread.start()
        thread.join(self.timeout_s)
        if not done:
            self._hung.add(name)
            _end(thread)
            raise TimeoutError(f"it did not return within {self.timeout_s:g} s")
        if isinstance(done[0], BaseException):
            raise done[0]
        return done[0]

    def _text(self, result: object) -> "_Text":
        """Return what a tool returned as text, how much was left out, and how it broke its word."""
        broken = ""
        if isinstance(result, bytes | bytearray | memoryview):
            broken = f"it returned {type(result).__name__}; a tool returns text"
            result = bytes(result[: 4 * self.max_output]).decode("utf-8", "replace")
        if result is None:
            result = "done"
        if isinstance(result, str):
            return *self._cut(result), broken
        parts, length = [], 0
        try:
            for part in json.JSONEncoder(ensure_ascii=False, allow_nan=False).iterencode(result):
                parts.append(part)
                length += len(part)
                if length > self.max_output:  # the rest may be a gigabyte
                    shown = "".join(parts)[: self.max_output]
                    return f"{shown}\n[... the rest was left out]", -1, broken
        except (TypeError, ValueError, RecursionError) as error:
            said = f"it returned a {type(result).__name__} that is neither text nor JSON: {error}"
            return f"error: {said:.300}", 0, f"{said:.300}"
        return *self._cut("".join(parts)), broken

    def _cut(self, text: str) -> tuple[str, int]:
        """Return text that is not too long and can be encoded, and how much was left out."""
        left_out = max(0, len(text) - self.max_output)
        if left_out:
            text = f"{text[: self.max_output]}\n[... {left_out} more characters were left out]"
        if not text.isascii():  # lone surrogates have no encoding
            text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return str(text), left_out

    def _result(self, name: str, status: Status, text: str) -> ToolResult:
        return ToolResult(name, status, *self._cut(text))

    def _failed(self, name: str, error: BaseException) -> ToolResult:
        """Attribute an exception: to the boundary it names, else to the tool."""
        boundary = error.boundary if isinstance(error, EpisodeFailure) else "tool"
        said = error.message if isinstance(error, EpisodeFailure) else str(error)
        failure = Failure(boundary, type(error).__name__, f"{said:.300}")
        first = failure.message.partition("\n")[0]
        text, left_out = self._cut(f"error: the tool failed: {failure.error}: {first}")
        return ToolResult(name, "failed", text, left_out, failure)


_Text = tuple[str, int, str]


def _end(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread as soon as it is back in Python; code in C goes on till then."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
    )
