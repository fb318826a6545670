"""Environments with tools: a hall whose user comes back once, and a counter."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentgym import Outcome, TextEnv
from agentgym.errors import ToolError
from agentgym.toolcalls import Reply
from agentgym.toolenv import Called, ToolEnv
from agentgym.tools.base import Toolset
from agentgym.types import JSON, Message, Observation, ToolCall

__all__ = ["FIND", "Counting", "Hall"]

FIND: dict[str, JSON] = {
    "name": "find",
    "description": "Find a thing.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}


class Hall(TextEnv):
    """Say where things are; the tool knows. The first answer is followed by another question."""

    tools = (FIND,)
    max_turns = 8

    def begin(self, options: Mapping[str, Any]) -> str:
        self.answers = 0
        return "Where is the desk?"

    def act(self, action: str) -> Outcome:
        reply = Reply.of_action(action)
        if reply.calls or reply.problems:
            results = [f"{call.arguments['q']}: hall" for call in reply.calls]
            results += [reply.complaint] if reply.problems else []
            messages = tuple(Message("tool", each) for each in results)
            shown = Observation("\n".join(results), messages)
            return Outcome(shown, action_valid=not reply.problems)
        self.answers += 1
        if self.answers == 1:
            return Outcome("And the lamp?")
        return Outcome("", reward=1.0, terminated=True, success=reply.text == "hall")

    def gold(self) -> list[str]:
        both = (ToolCall("find", {"q": "desk"}), ToolCall("find", {"q": "lamp"}))
        return [Reply("", both).action, Reply("hall").action, "hall"]


class Counter:
    """A counter."""

    def __init__(self) -> None:
        self.value = 0

    def __call__(self, by: int) -> int:
        """Count up.

        Args:
            by: how far.
        """
        if by < 1:
            raise ToolError("only upwards")
        self.value += by
        return self.value


def broken() -> str:
    """Break."""
    raise RuntimeError("out of order")


class Counting(ToolEnv):
    """Count to a number and say so; half of the episodes have another tool, too."""

    instructions = "Count by the tool, then say the number."
    max_turns = 6

    def begin(self, options: Mapping[str, Any]) -> str:
        self.goal = int(self.np_random.integers(2, 9))
        self.counter = Counter()
        tools: dict[str, object] = {"count": self.counter}
        if self.goal % 2:
            tools["broken"] = broken
        self.use(Toolset(tools, timeout_s=None))
        return f"Count to {self.goal}."

    def called(self, calls: Sequence[Called], outcome: Outcome) -> Outcome:
        outcome.reward = 0.25 if any(each.result.ok for each in calls) else 0.0
        return outcome

    def heard(self, text: str) -> Outcome:
        right = text == str(self.goal) and self.counter.value == self.goal
        return Outcome("", reward=float(right), terminated=bool(text), success=right)

    def state_key(self) -> str:
        return f"{self.goal} {self.counter.value}"

    def gold(self) -> list[str] | None:
        left = self.goal - self.counter.value
        if left < 0:
            return None
        calls = (ToolCall("count", {"by": left}),) if left else ()
        return [*([Reply("", calls).action] if calls else []), Reply(str(self.goal)).action]
