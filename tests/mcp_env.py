"""An environment over the tools of an MCP server process."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentgym import Outcome
from agentgym.toolcalls import Reply
from agentgym.toolenv import ToolEnv
from agentgym.tools.base import Toolset
from agentgym.tools.mcp import McpServer
from agentgym.types import ToolCall

__all__ = ["Shop"]


class Shop(ToolEnv):
    """Buy all the tea."""

    instructions = "Use the tools of the shop, then say a number."
    max_turns = 4

    def __init__(self, *, max_turns: int | None = None) -> None:
        super().__init__(max_turns=max_turns)
        servers = Path(__file__).with_name("mcp_servers.py")
        self.server = McpServer([sys.executable, str(servers), "shop"], start_timeout_s=60)

    def begin(self, options: Mapping[str, Any]) -> str:
        self.server.restart()
        self.use(Toolset(self.server.tools, timeout_s=None))
        return "Buy all the tea, then say how much there was."

    def heard(self, text: str) -> Outcome:
        left = self.toolset.call("take", {"item": "tea", "count": 0}).or_raise().text
        right = text == "3" and left == "0"
        return Outcome("", reward=float(right), terminated=True, success=right)

    def gold(self) -> list[str]:
        return [Reply("", (ToolCall("take", {"item": "tea", "count": 3}),)).action, "3"]

    def snapshot(self) -> object:
        raise NotImplementedError("the state is in the server's process")

    def shutdown(self) -> None:
        self.server.close()
