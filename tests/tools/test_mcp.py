"""Tools of real MCP server processes: what works, and what happens when they do not."""

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the extra 'mcp'")

from agentgym import registry
from agentgym.agents import GoldAgent, ScriptedAgent
from agentgym.backends.scripted import Scripted
from agentgym.errors import ConfigError, EpisodeFailure, UnknownName
from agentgym.rollout import Task, collect
from agentgym.toolcalls import Reply
from agentgym.tools.base import Toolset
from agentgym.tools.mcp import McpServer
from agentgym.types import ToolCall, Trajectory

SERVERS = Path(__file__).parent.parent / "mcp_servers.py"


def command(which: str) -> list[str]:
    return [sys.executable, str(SERVERS), which]


def tools_of(server: McpServer) -> Toolset:
    return Toolset(server.tools, timeout_s=None)


@pytest.fixture(scope="module")
def shop() -> Iterator[McpServer]:
    with McpServer(command("shop"), start_timeout_s=60) as server:
        yield server


@pytest.fixture(scope="module")
def contents() -> Iterator[Toolset]:
    with McpServer(command("contents"), start_timeout_s=60) as server:
        yield tools_of(server)


def test_its_tools_are_ours(shop: McpServer) -> None:
    shop.restart()
    tools = tools_of(shop)
    assert tools.names == ("take", "shelf_picture", "burn", "wait", "variable", "flood")
    take = tools.schemas[0]["function"]
    assert isinstance(take, dict)
    assert take["description"] == "Take something off the shelf; tell how many are left."
    parameters: Any = take["parameters"]
    assert parameters["required"] == ["item"]
    assert tools.call("take", {"item": "tea"}).text == "2"
    assert tools.call("take", '{"item": "tea", "count": 2}').text == "0"


def test_E04_what_the_agent_gets_wrong_is_an_observation(shop: McpServer) -> None:
    shop.restart()
    tools = tools_of(shop)
    refused = tools.call("take", {"item": "tea", "count": 9})
    assert refused.status == "refused"
    assert "not enough tea" in refused.text
    for arguments, said in (
        ({}, "'item' is a required property"),
        ({"item": 3}, "item: 3 is not of type 'string'"),
        ({"item": "tea", "count": float("nan")}, "not JSON"),
    ):
        wrong = tools.call("take", arguments)  # type: ignore[arg-type]
        assert wrong.status == "wrong arguments"
        assert said in wrong.text
        assert wrong.failure is None
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert tools.call("take", {"item": deep}).status == "wrong arguments"
    assert tools.call("take", {"item": "tea"}).text == "2"


@pytest.mark.parametrize(
    "arguments",
    ['{"item": "te', '{"item": "a", "item": "b"}', '{"item": 1e999}', "[]", '{"item": NaN}'],
)
def test_E04_arguments_that_are_not_json_are_not_sent(shop: McpServer, arguments: str) -> None:
    assert tools_of(shop).call("take", arguments).status == "wrong arguments"


def test_E05_a_result_that_is_too_long_is_cut(shop: McpServer) -> None:
    result = tools_of(shop).call("flood", {"megabytes": 3})
    assert result.ok
    assert len(result.text) < 11_000
    assert result.left_out == 3_000_000 - 10_000


def test_what_is_no_text_is_named(shop: McpServer) -> None:
    assert (
        tools_of(shop).call("shelf_picture", {}).text == "[image, image/png, 100 bytes, not shown]"
    )


def test_every_kind_of_content(contents: Toolset) -> None:
    assert contents.call("everything", {}).text.split("\n") == [
        "first",
        "[image, image/png, 5 bytes, not shown]",
        "[audio, audio/wav, 7 bytes, not shown]",
        "[resource notes: file:///notes.txt]",
        "[resource file:///a.txt]",
        "inside",
        "[resource file:///b.bin, x/y, 3 bytes, not shown]",
    ]
    assert contents.call("structured", {}).text == '{"é": [1, null]}'
    assert contents.call("nothing", {}).text == "done"


def test_all_pages_are_read(contents: Toolset) -> None:
    assert len(contents.names) == 6


def test_protocol_errors_are_attributed(contents: Toolset) -> None:
    refused = contents.call("refuses", {})
    assert (refused.status, refused.text) == ("refused", "error: no such customer")
    crashed = contents.call("crashes", {})
    assert crashed.failure is not None
    assert crashed.failure.boundary == "tool"
    broken = contents.call("breaks_its_word", {})
    assert broken.failure is not None
    assert broken.failure.boundary == "tool"
    assert "breaks_its_word" in broken.failure.message
    assert contents.call("nothing", {}).ok


def test_E05_a_server_that_dies_mid_episode_fails_the_call_and_can_be_restarted() -> None:
    with McpServer(command("shop"), start_timeout_s=60) as server:
        tools = tools_of(server)
        assert tools.call("take", {"item": "tea"}).text == "2"
        assert server.alive
        for _ in range(2):  # the call that kills it, and the next
            result = tools.call("burn", {})
            assert result.failure is not None
            assert result.failure.boundary == "tool"
            assert "is gone; it said last: fire!" in result.failure.message
            with pytest.raises(EpisodeFailure, match="tool: burn: EpisodeFailure: the MCP server"):
                result.or_raise()
        assert not server.alive
        server.restart()
        assert tools.call("take", {"item": "tea"}).text == "2"


def test_E05_a_server_killed_from_outside_fails_the_next_call(tmp_path: Path) -> None:
    own = f"echo $$ > {tmp_path}/pid; exec {sys.executable} {SERVERS} shop"
    with McpServer(["sh", "-c", own], start_timeout_s=60) as server:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        result = tools_of(server).call("take", {"item": "tea"})
        assert result.failure is not None
        assert "is gone" in result.failure.message


def test_E05_a_call_that_is_never_answered_fails_in_time() -> None:
    with McpServer(command("shop"), timeout_s=0.3, start_timeout_s=60) as server:
        tools = tools_of(server)
        started = time.monotonic()
        result = tools.call("wait", {"seconds": 200})
        assert time.monotonic() - started < 100
        assert result.failure is not None
        assert result.failure.boundary == "tool"
        assert "did not answer wait within 0.3 s" in result.failure.message


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(60)", r"did not answer within 1 s"),
        ("import sys; sys.exit('I need a licence')", r"it said last: I need a licence"),
        ("import sys; sys.stdin.readline(); print('{}')", r"cannot be used"),
    ],
)
def test_a_command_that_is_no_server_is_refused_at_the_start(code: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"{why}.*; does this command, run by hand, start"):
        McpServer([sys.executable, "-c", code], start_timeout_s=1)


def test_a_server_that_cannot_be_reached_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"no-such-program.*No such file"):
        McpServer("no-such-program --fast")
    with pytest.raises(ConfigError, match=r"\(http://127.0.0.1:9/mcp\).*is it running") as refused:
        McpServer("http://me:secret@127.0.0.1:9/mcp?token=secret")
    assert "secret" not in str(refused.value)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY holds no key"):
        McpServer("http://127.0.0.1:9/mcp", key_env="NO_SUCH_KEY")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"server": ""}, "neither an address"),
        ({"server": "a 'b"}, "cannot be split"),
        ({"server": "http://127.0.0.1:9/mcp", "cwd": "/"}, "cwd are for a command"),
        ({"server": "cat", "key_env": "KEY"}, "key_env is for an address"),
        ({"server": "cat", "timeout_s": 0}, "timeout_s must be above 0"),
        ({"server": "cat", "only": "take"}, "a list of names"),
    ],
)
def test_options_that_do_not_fit(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        McpServer(**arguments)


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ("bad_schema", r"offers 'odd', .*parameters.properties.a.type.*only=\[...\]"),
        ("elsewhere", r"offers 'odd', .*another document, http://127.0.0.1:9/a"),
        ("names", r"two tools of .* would be called 'a_b': 'a.b' and 'a_b'"),
    ],
)
def test_tools_that_cannot_be_taken(which: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        McpServer(command(which), start_timeout_s=60)


OLD = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    match asked["method"]:
        case "initialize":
            about = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
            said = {"result": {**about, "serverInfo": {"name": "old", "version": "1"}}}
        case "tools/list":
            said = {"result": {"tools": TOOLS}}
        case "tools/call":
            said = {"result": {"content": [{"type": "text", "text": "an answer of old"}]}}
        case _:
            said = {"error": {"code": -32601, "message": "no such method"}}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)
"""
"""A server of an older protocol, without the package."""


def test_a_server_of_an_older_protocol() -> None:
    code = OLD.replace("TOOLS", '[{"name": "ask", "inputSchema": {"type": "object"}}]')
    with McpServer([sys.executable, "-c", code]) as server:
        assert tools_of(server).call("ask", {"any": 1}).text == "an answer of old"


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ('[{"name": "odd", "inputSchema": {"type": "string"}}]', "Input should be 'object'"),
        ('[{"name": "odd", "inputSchema": "none"}]', "cannot be used: ValidationError"),
        ('"none"', "cannot be used: ValidationError"),
    ],
)
def test_a_list_of_tools_that_is_none(tools: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        McpServer([sys.executable, "-c", OLD.replace("TOOLS", tools)])


def test_some_tools_under_names_of_ours() -> None:
    with McpServer(command("bad_schema"), only=["fine"], start_timeout_s=60) as server:
        assert [tool.name for tool in server.tools] == ["fine"]
    with pytest.raises(UnknownName, match="did you mean 'fine'"):
        McpServer(command("bad_schema"), only=["fin"], start_timeout_s=60)
    with McpServer(command("names"), only={"a.b": "c", "a b": ""}, start_timeout_s=60) as server:
        assert [tool.name for tool in server.tools] == ["c", "a_b"]
        assert tools_of(server).call("c", {}).status == "ok"
    with pytest.raises(ConfigError, match="at most 64"):
        McpServer(command("names"), only=["l" * 65], start_timeout_s=60)


def test_a_command_gets_the_variables_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    with McpServer(command("shop"), env={"GIVEN": "2"}, start_timeout_s=60) as server:
        tools = tools_of(server)
        assert tools.call("variable", {"name": "GIVEN"}).text == "2"
        assert tools.call("variable", {"name": "SECRET_OF_OURS"}).text == "(not set)"


def test_calls_may_come_from_any_thread(shop: McpServer) -> None:
    shop.restart()
    tools = tools_of(shop)
    names = [f"NO_SUCH_{number}" for number in range(40)] + ["HOME"] * 40

    def told(name: str) -> str:
        return tools.call("variable", {"name": name}).text

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(told, names)] == ["(not set)"] * 40 + [os.environ["HOME"]] * 40


def test_what_is_in_a_process_cannot_be_copied(shop: McpServer) -> None:
    with pytest.raises(NotImplementedError, match="start another"):
        copy.deepcopy(tools_of(shop))


def test_closing_ends_the_process(tmp_path: Path) -> None:
    own = f"echo $$ > {tmp_path}/pid; exec {sys.executable} {SERVERS} shop"
    server = McpServer(["sh", "-c", own], start_timeout_s=60)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, 0)
    server.close()
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    result = tools_of(server).call("take", {"item": "tea"})
    assert result.failure is not None


@pytest.fixture
def by_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Return a process and its address; it wants the key "secret"."""
    monkeypatch.setenv("KEY_OF_SERVER", "secret")
    process = subprocess.Popen([*command("shop"), "http"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_by_http(by_http: tuple[subprocess.Popen[str], str]) -> None:
    process, address = by_http
    own = "KEY_OF_SERVER"
    with (
        McpServer(address, key_env=own, timeout_s=5) as server,
        McpServer(address, key_env=own, timeout_s=5) as other,
    ):
        tools = tools_of(server)
        assert tools.call("take", {"item": "tea"}).text == "2"
        assert tools_of(other).call("take", {"item": "tea"}).text == "1"
        assert tools.call("take", {"item": "tea", "count": 9}).status == "refused"
        process.kill()
        process.wait()
        for _ in range(2):
            result = tools.call("take", {"item": "tea"})
            assert result.failure is not None
            assert result.failure.boundary == "tool"
            assert address in result.failure.message
        with pytest.raises(EpisodeFailure, match="cannot be used"):
            server.restart()


def test_a_key_that_is_refused(
    by_http: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_KEY", "guessed")
    for options in ({"key_env": "WRONG_KEY"}, {}):
        with pytest.raises(ConfigError, match="cannot be used") as refused:
            McpServer(by_http[1], **options)  # type: ignore[arg-type]
        assert "guessed" not in str(refused.value)


def test_the_module_is_no_tool() -> None:
    assert "mcp" not in registry.entries("tools")


def test_episodes_over_a_server() -> None:
    [group] = collect([Task("mcp_env:Shop")], 1, GoldAgent(), Scripted([""]), seed=0)
    [episode] = group.trajectories_G
    assert episode.success
    assert episode.turns[1].observation.text == "0"


def test_E05_an_episode_whose_server_dies_is_nobodys_reward() -> None:
    tried: list[Trajectory] = []
    agent = ScriptedAgent([Reply("", (ToolCall("burn", {}),)).action])
    [group] = collect(
        [Task("mcp_env:Shop")],
        1,
        agent,
        Scripted([""]),
        seed=0,
        max_failure_rate=1.0,
        on_episode=tried.append,
    )
    assert len(tried) == 3
    for episode in [*tried, *group.trajectories_G]:
        assert not episode.valid
        assert episode.success is None
        assert episode.failure is not None
        assert episode.failure.boundary == "tool"
        assert "is gone; it said last: fire!" in episode.failure.message
