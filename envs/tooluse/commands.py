"""The calls that can be made with what was seen so far, for players without a model."""

from itertools import product
from typing import Any, Final, cast

from agentgym.envs.tooluse.answers import IMPOSSIBLE, tokens_of
from agentgym.envs.tooluse.plan import DONE
from agentgym.envs.tooluse.world import World
from agentgym.toolcalls import Reply
from agentgym.tools.base import Toolset
from agentgym.types import ToolCall

__all__ = ["commands"]

MOST: Final = 200


def commands(world: World, toolset: Toolset, shown: str) -> list[str]:
    """Return actions: every tool with every value that was shown, and two last words.

    Left out are tools with an argument that no value is known for, such as an amount. At most
    `MOST` calls are listed.
    """
    line = f" {' '.join(tokens_of(shown))} "
    calls: list[ToolCall] = []
    for name in toolset.names:
        parameters = cast("dict[str, Any]", toolset[name].parameters)
        needed: list[str] = parameters.get("required", [])
        values = [
            [v for v in world.values(argument) if f" {' '.join(tokens_of(v))} " in line]
            for argument in needed
        ]
        calls += [ToolCall(name, dict(zip(needed, row, strict=True))) for row in product(*values)]
    return [*(Reply("", (each,)).action for each in calls[:MOST]), DONE, IMPOSSIBLE]
