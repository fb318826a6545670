"""One connection to an MCP server, kept by an event loop in a thread of its own."""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from agentgym.errors import ConfigError, EpisodeFailure

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as Described

GRACE_S: Final = 5.0
"""Seconds beyond a limit after which the loop itself counts as hung."""

MAX_PAGES: Final = 100
SHOWN: Final = 300
SHOWN_WORDS: Final = 100


@dataclass(frozen=True, slots=True)
class Where:
    """How a server is reached: by an address, or by a command that starts it."""

    address: str = ""
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    key_env: str = ""

    def __str__(self) -> str:
        if not self.address:
            words = " ".join(" ".join(self.command).split())
            return words if len(words) <= SHOWN_WORDS else f"{words[:SHOWN_WORDS]} ..."
        parts = urlsplit(self.address)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, place, parts.path, "", ""))

    def key(self) -> str:
        """Return the key to show the server.

        Raises:
            ConfigError: the environment has none.
        """
        if not os.environ.get(self.key_env):
            raise ConfigError(f"the environment variable {self.key_env} holds no key for {self}")
        return os.environ[self.key_env]


class Link:
    """A connection, from `__init__` to `close`.

    Attributes:
        tools: what the server offers, as it describes them.
        used: whether a call has been made.
    """

    used = False

    def __init__(self, where: Where, *, timeout_s: float, start_timeout_s: float) -> None:
        """Connect.

        Raises:
            ConfigError: the server cannot be reached or started, or does not speak MCP in time.
        """
        self.where, self.timeout_s = where, timeout_s
        self.tools: list[Described] = []
        self._said: deque[str] = deque(maxlen=20)  # the last lines of its standard error
        self._listener: threading.Thread | None = None
        self._started: Callable[[], None] = lambda: None
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] = lambda: None
        self._client: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"mcp {where}"[:60])
        self._thread.start()
        try:
            self._ready.result(start_timeout_s)
        except ConfigError:
            raise
        except TimeoutError:
            why = f"it did not answer within {start_timeout_s:g} s"
            self.close()
            raise self._unusable(why) from None
        except Exception as error:  # of the transport, or of what the server sent
            self.close()
            raise self._unusable(_reason(error)) from error

    @property
    def alive(self) -> bool:
        """Whether calls can still be made, as far as is known here."""
        return self._client is not None and self._thread.is_alive()

    def call(self, name: str, arguments: Mapping[str, object]) -> "CallToolResult":
        """Call a tool and wait for what it brings.

        Raises:
            EpisodeFailure: "tool": the server is gone, late, or breaks the protocol.
            mcp.MCPError: the server refuses or fails the call.
        """
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        self.used = True
        client, loop = self._client, self._loop
        if client is None or loop is None or not self._thread.is_alive():
            raise self._gone()
        asked = client.call_tool(name, dict(arguments), read_timeout_seconds=self.timeout_s)
        try:
            future = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:  # the loop has ended since
            asked.close()
            raise self._gone() from None
        try:
            result: CallToolResult = future.result(self.timeout_s + GRACE_S)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                self._client = None
                raise self._gone() from error
            if error.code == REQUEST_TIMEOUT:
                raise self._late(name) from error
            raise
        except TimeoutError:
            future.cancel()
            raise self._late(name) from None
        except (OSError, concurrent.futures.CancelledError) as error:
            self._client = None
            raise self._gone() from error
        except Exception as error:  # an answer that is none, or a transport that broke
            raise EpisodeFailure(
                "tool", f"the MCP server ({self.where}) failed {name}: {_reason(error)}"
            ) from error
        return result

    def close(self) -> None:
        """End the connection, and a server that was started for it; again is harmless."""
        self._client = None
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * GRACE_S)

    # In the thread of the loop -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # raised again where it is waited for
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            self._client = None

    async def _live(self) -> None:
        import anyio
        from mcp import Client

        with anyio.CancelScope() as scope:
            self._loop, self._stop = asyncio.get_running_loop(), scope.cancel
            async with self._transport() as transport, Client(transport, cache=None) as client:
                self.tools = await _listed(client)
                ended = asyncio.Event()
                self._client, self._stop = client, ended.set
                self._started()
                self._ready.set_result(None)
                await ended.wait()

    @contextlib.asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        if self.where.address:
            import httpx2

            given = {"Authorization": f"Bearer {self.where.key()}"} if self.where.key_env else {}
            limits = httpx2.Timeout(self.timeout_s + GRACE_S)
            async with httpx2.AsyncClient(headers=given, timeout=limits) as http:
                yield streamable_http_client(self.where.address, http_client=http)
            return
        program, *arguments = self.where.command
        parameters = StdioServerParameters(
            command=program, args=arguments, env=dict(self.where.env), cwd=self.where.cwd
        )
        end, begin = os.pipe()
        self._listener = threading.Thread(target=self._listen, args=(end,), daemon=True)
        self._listener.start()
        with os.fdopen(begin, "w") as errors:
            self._started = errors.close  # the listener ends when the server does
            yield stdio_client(parameters, errlog=errors)

    def _listen(self, end: int) -> None:
        """Keep what the server writes to its standard error last."""
        with os.fdopen(end, "rb") as errors:
            while piece := errors.readline(4096):
                self._said.append(piece.decode("utf-8", "replace").strip())

    # What is said of failures -------------------------------------------------------------------

    def _last_words(self) -> str:
        if self._listener is not None:
            self._listener.join(1.0)  # a process that has ended may have said something yet unread
        said = [line for line in self._said if line]
        return f"; it said last: {said[-1][:SHOWN]}" if said else ""

    def _gone(self) -> EpisodeFailure:
        return EpisodeFailure("tool", f"the MCP server ({self.where}) is gone{self._last_words()}")

    def _late(self, name: str) -> EpisodeFailure:
        return EpisodeFailure(
            "tool",
            f"the MCP server ({self.where}) did not answer {name} within {self.timeout_s:g} s",
        )

    def _unusable(self, why: str) -> ConfigError:
        hint = (
            "is it running, is this the address of its MCP endpoint (often ending in /mcp), "
            "and does it want a key (key_env)?"
            if self.where.address
            else "does this command, run by hand, start an MCP server on standard input and output?"
        )
        return ConfigError(
            f"the MCP server ({self.where}) cannot be used: {why}{self._last_words()}; {hint}"
        )


async def _listed(client: Any) -> "list[Described]":
    """Return the tools of all pages."""
    found: Sequence[Described] = ()
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found, cursor = [*found, *page.tools], page.next_cursor
        if cursor is None:
            return list(found)
    raise ValueError(f"its list of tools has more than {MAX_PAGES} pages")


def _reason(error: BaseException) -> str:
    """Return what an exception says; of a group, the first that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {said[:SHOWN]}"
