"""A hall with one tool, whose user comes back once."""

from collections.abc import Mapping
from typing import Any

from agentgym import Outcome, TextEnv
from agentgym.toolcalls import Reply
from agentgym.types import JSON, Message, Observation, ToolCall

__all__ = ["FIND", "Hall"]

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
