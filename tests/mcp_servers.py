"""MCP servers of the official package, good and bad: `python mcp_servers.py WHICH [http]`."""

import asyncio
import base64
import os
import sys
import time
from typing import Any

import uvicorn
from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server


def shop() -> MCPServer:
    """Return a server made the way that the package recommends."""
    server = MCPServer("shop")
    stock = {"tea": 3}

    @server.tool()
    def take(item: str, count: int = 1) -> int:
        """Take something off the shelf; tell how many are left."""
        if stock.get(item, 0) < count:
            raise ToolError(f"not enough {item}")
        stock[item] -= count
        return stock[item]

    @server.tool(name="shelf.picture")
    def picture() -> Image:
        """Show the shelf."""
        return Image(data=b"\x89PNG" + b"\0" * 96, format="png")

    @server.tool()
    def burn() -> str:
        """Set the shop on fire."""
        print("fire!", file=sys.stderr, flush=True)
        os._exit(1)

    @server.tool()
    def wait(seconds: float) -> str:
        """Wait."""
        time.sleep(seconds)
        return "waited"

    @server.tool()
    def variable(name: str) -> str:
        """Tell an environment variable."""
        return os.environ.get(name, "(not set)")

    @server.tool(structured_output=False)
    def flood(megabytes: int) -> str:
        """Say much."""
        return "x" * (megabytes * 1_000_000)

    return server


EVERYTHING: list[types.ContentBlock] = [
    types.TextContent(text="first"),
    types.ImageContent(data=base64.b64encode(b"12345").decode(), mime_type="image/png"),
    types.AudioContent(data=base64.b64encode(b"1234567").decode(), mime_type="audio/wav"),
    types.ResourceLink(name="notes", uri="file:///notes.txt"),
    types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///a.txt", text="inside")),
    types.EmbeddedResource(
        resource=types.BlobResourceContents(
            uri="file:///b.bin", blob=base64.b64encode(b"123").decode(), mime_type="x/y"
        )
    ),
]
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def answers(name: str) -> types.CallToolResult:
    match name:
        case "everything":
            return types.CallToolResult(content=EVERYTHING)
        case "structured":
            return types.CallToolResult(content=[], structured_content={"é": [1, None]})
        case "nothing":
            return types.CallToolResult(content=[])
        case "refuses":
            raise MCPError(types.INVALID_PARAMS, "no such customer")
        case "crashes":
            raise RuntimeError("a secret of the server")
        case _:
            wrong = types.CallToolResult(content=[], structured_content={"n": "no number"})
            return wrong


def raw(tools: list[types.Tool]) -> Server[Any]:
    """Return a server that says what it likes, in pages of two tools."""

    async def list_tools(_: Any, asked: types.PaginatedRequestParams | None) -> Any:
        first = int((asked and asked.cursor) or 0)
        more = str(first + 2) if first + 2 < len(tools) else None
        return types.ListToolsResult(tools=tools[first : first + 2], next_cursor=more)

    async def call_tool(_: Any, asked: types.CallToolRequestParams) -> Any:
        return answers(asked.name)

    return Server("raw", on_list_tools=list_tools, on_call_tool=call_tool)


def tool(name: str, schema: dict[str, Any] | None = None, **more: Any) -> types.Tool:
    return types.Tool(name=name, input_schema=schema or NO_ARGUMENTS, **more)


NUMBER = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
NAMES = ("everything", "structured", "nothing", "refuses", "crashes")
SERVERS = {
    "contents": [*map(tool, NAMES), tool("breaks_its_word", output_schema=NUMBER)],
    "bad_schema": [
        tool("fine"),
        tool("odd", {"type": "object", "properties": {"a": {"type": "x"}}}),
    ],
    "elsewhere": [
        tool("odd", {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/a"}}})
    ],
    "names": [tool("a.b"), tool("a_b"), tool("a b"), tool("l" * 65)],
}


def guarded(app: Any, key: str) -> Any:
    """Return an application that wants a key, if there is one."""

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"").decode()
        if key and scope["type"] == "http" and given != f"Bearer {key}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return guard


async def main(which: str, by_http: bool) -> None:
    server = shop()._lowlevel_server if which == "shop" else raw(SERVERS[which])
    if not by_http:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
        return
    app = guarded(server.streamable_http_app(), os.environ.get("KEY_OF_SERVER", ""))
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.ensure_future(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    print(running.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], "http" in sys.argv[2:]))
