"""The calls that can be made with what was seen so far, for players without a model."""

from functools import lru_cache
from itertools import product
from typing import Any, Final, cast

from agentgym.envs.tooluse.answers import IMPOSSIBLE, tokens_of
from agentgym.envs.tooluse.plan import DONE
from agentgym.envs.tooluse.world import World
from agentgym.toolcalls import Reply
from agentgym.tools.base import Toolset
from agentgym.types import ToolCall

__all__ = ["commands", "spelled"]

MOST: Final = 200


def commands(world: World, toolset: Toolset, shown: str) -> list[str]:
    """Return actions: every tool with every value that was shown, and two last words.

    Left out are tools with an argument that no value is known for, such as an amount. At most
    `MOST` calls are listed.

    Args:
        world: where. toolset: its tools. shown: all that was shown, as `spelled`.
    """
    line = f" {shown} "
    found: list[str] = []
    for name in toolset.names:
        parameters = cast("dict[str, Any]", toolset[name].parameters)
        needed = tuple(parameters.get("required", ()))
        values = [[v for v in world.values(a) if f" {spelled(v)} " in line] for a in needed]
        found += [_action(name, needed, row) for row in product(*values)]
    return [*found[:MOST], DONE, IMPOSSIBLE]


@lru_cache(maxsize=4096)
def spelled(text: str) -> str:
    """Return the words and numbers of a text, in one spelling."""
    return " ".join(tokens_of(text))


@lru_cache(maxsize=4096)
def _action(name: str, arguments: tuple[str, ...], values: tuple[str, ...]) -> str:
    call = ToolCall(name, dict(zip(arguments, values, strict=True)))
    return Reply("", (call,)).action
