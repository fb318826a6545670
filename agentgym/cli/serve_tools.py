"""`agentgym serve-tools`: our tools for any program that speaks MCP."""

from typing import Annotated

import typer


def command(
    tools: Annotated[
        list[str],
        typer.Argument(metavar="TOOL...", help="Names, my_pkg.my_tools:price, or my_tool.py."),
    ],
    http: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="By HTTP instead of standard streams; port 0 takes any."
        ),
    ] = "",
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds for one call.")
    ] = 10.0,
) -> None:
    """Offer tools over MCP, the Model Context Protocol.

    On standard input and output, for one client that starts this command,
    or by HTTP for all who reach the address. There is no sandbox: a tool
    runs with the rights of this program.
    """
    from agentgym.cli.common import target_of
    from agentgym.errors import ConfigError
    from agentgym.tools.base import Toolset
    from agentgym.tools.mcp import need_mcp

    toolset = Toolset([target_of(name) for name in tools], timeout_s=timeout_s)
    need_mcp()
    from agentgym.tools._mcp_serve import serve_http, serve_stdio

    if not http:
        serve_stdio(toolset)
        return
    host, colon, port = http.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--http takes HOST:PORT, such as 127.0.0.1:8000, got {http!r}")
    host = host.strip("[]") or "127.0.0.1"
    serve_http(toolset, host, int(port), lambda address: typer.echo(f"serving at {address}"))
