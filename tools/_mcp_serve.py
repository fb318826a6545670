"""Offers a toolset over MCP (Model Context Protocol), on standard streams or by HTTP."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentgym.errors import ConfigError
from agentgym.tools.base import Toolset

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


def server_of(toolset: Toolset) -> "Server[Any]":
    """Return an MCP server of a toolset; all its clients share the tools' state.

    The agent's mistakes are results with `isError`; a tool's own failure is a protocol error.
    """
    import anyio.to_thread
    from mcp import MCPError, types
    from mcp.server.lowlevel import Server

    from agentgym import __version__

    one_at_a_time = anyio.CapacityLimiter(1)  # tools need not bear threads

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=toolset[name].description,
                    input_schema=dict(toolset[name].parameters),
                )
                for name in toolset.names
            ]
        )

    async def call_tool(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        result = await anyio.to_thread.run_sync(
            toolset.call, asked.name, asked.arguments or {}, limiter=one_at_a_time
        )
        text = result.text if result.ok else result.text.removeprefix("error: ")
        if result.status == "unknown tool":
            raise MCPError(types.INVALID_PARAMS, text)
        if result.status == "failed":
            raise MCPError(types.INTERNAL_ERROR, text)
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=not result.ok)

    return Server("agentgym", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def serve_stdio(toolset: Toolset) -> None:
    """Serve one client on standard input and output, until the input ends."""
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        server = server_of(toolset)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    asyncio.run(serve())


def serve_http(toolset: Toolset, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve any number of clients until interrupted.

    Args:
        toolset: what to offer.
        host: the interface to listen on. port: 0 takes a free one.
        started: is told the address.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        shown = f"[{host}]" if ":" in host else host
        app = server_of(toolset).streamable_http_app(host=host)
        config = uvicorn.Config(app, log_level="warning", lifespan="on")
        listening.listen()
        started(f"http://{shown}:{listening.getsockname()[1]}/mcp")
        uvicorn.Server(config).run(sockets=[listening])
