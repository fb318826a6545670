"""`agentgym serve-tools`: our tools through MCP, in processes of their own."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Run

pytest.importorskip("mcp", reason="needs the extra 'mcp'")

from agentgym.tools.base import Toolset
from agentgym.tools.mcp import McpServer

SERVE = [sys.executable, "-m", "agentgym.cli.__main__", "serve-tools"]
OWN = '''
from agentgym.errors import ToolError


def price(item: str) -> float:
    """Tell what something costs."""
    print("this is not the protocol")
    if item == "bomb":
        raise RuntimeError("out of order")
    if item != "tea":
        raise ToolError(f"there is no {item}")
    return 2.5
'''


def served(*words: str, cwd: Path | None = None) -> McpServer:
    return McpServer([*SERVE, *words], cwd=cwd, start_timeout_s=60)


def test_on_standard_streams(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(OWN)
    with served("shop.py", "kv", cwd=tmp_path) as server:
        tools, here = Toolset(server.tools, timeout_s=None), Toolset(["kv"])
        assert tools.names == ("price", "kv")
        assert tools.schemas[1] == here.schemas[0]
        assert tools.call("price", {"item": "tea"}).text == "2.5"
        calls = ({"action": "put", "key": "a"}, {"action": "list"}, {"action": "get", "key": "b"})
        for arguments in calls:
            assert tools.call("kv", arguments) == here.call("kv", arguments)
        refused = tools.call("price", {"item": "oil"})
        assert (refused.status, refused.text) == ("refused", "error: there is no oil")
        assert tools.call("price", {"item": 1}).status == "wrong arguments"
        failed = tools.call("price", {"item": "bomb"})
        assert failed.failure is not None
        assert failed.failure.boundary == "tool"
        assert "RuntimeError: out of order" in failed.failure.message
        assert tools.call("kv", {"action": "list"}).text == "a"


@pytest.fixture
def by_http() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*SERVE, "kv", "--http", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def test_by_http_all_share_one_state(by_http: tuple[subprocess.Popen[str], str]) -> None:
    process, address = by_http
    with McpServer(address, only={"kv": "one"}) as one, McpServer(address) as other:
        tools = Toolset([*one.tools, *other.tools], timeout_s=None)
        assert tools.call("one", {"action": "put", "key": "a", "value": "b"}).ok
        assert tools.call("kv", {"action": "get", "key": "a"}).text == "b"
        assert tools.call("kv", {"action": "get", "key": "b"}).status == "refused"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def test_mistakes_stop_it_before_it_serves(agentgym: Run) -> None:
    assert "did you mean 'calendar'" in agentgym("serve-tools", "calender", code=2).words
    assert "'search' needs library" in agentgym("serve-tools", "search", code=2).words
    assert "two tools are called 'kv'" in agentgym("serve-tools", "kv", "kv", code=2).words
    for http in ("8000", "localhost", "127.0.0.1:99999"):
        said = agentgym("serve-tools", "kv", "--http", http, code=2).words
        assert "--http takes HOST:PORT" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = agentgym("serve-tools", "kv", "--http", f"127.0.0.1:{port}", code=2).words
        assert f"cannot listen on 127.0.0.1:{port}" in said


def test_looking_at_it_needs_no_mcp() -> None:
    code = (
        "import sys; from agentgym.cli.__main__ import main\n"
        "try: main(['serve-tools', '--help'])\n"
        "except SystemExit: pass\n"
        "import agentgym.tools.mcp\n"
        "sys.exit('mcp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
