"""Environments whose agent calls tools and speaks: what they share."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from agentgym.env import Outcome, TextEnv
from agentgym.toolcalls import Reply
from agentgym.tools.base import ToolResult, Toolset
from agentgym.types import Message, Observation, ToolCall

__all__ = ["Called", "ToolEnv"]


@dataclass(frozen=True, slots=True)
class Called:
    """A call that the agent made, and what it brought."""

    call: ToolCall
    result: ToolResult


class ToolEnv(TextEnv):
    """An environment whose agent calls tools and speaks.

    An action is a reply in canonical form (`agentgym.toolcalls.Reply.action`); any other text is a
    reply without calls. A turn with calls, well-formed or not, shows their results, one message of
    role "tool" each; then `called` may reward them. A turn without calls is `heard`.

    The calls of a turn are carried out in order. `action_valid` is False where a call was
    malformed, named no tool, or had arguments that do not fit. `facts["tool_calls"]` counts those
    carried out. A tool that fails by its own fault fails the episode, see `ToolResult.or_raise`.

    Attributes:
        toolset: the tools of the present episode; set by `use`.
    """

    stated_facts: ClassVar[frozenset[str]] = frozenset({"tool_calls"})
    max_calls: ClassVar[int] = 16  #: of a turn; those beyond are not carried out

    toolset: Toolset

    def use(self, toolset: Toolset) -> None:
        """Offer these tools from now on; mostly called in `begin`."""
        self.toolset = toolset
        self.tools = toolset.schemas

    @abstractmethod
    def heard(self, text: str) -> Outcome:
        """Answer what the agent says without calling a tool; the text may be empty."""

    def called(self, calls: Sequence[Called], outcome: Outcome) -> Outcome:
        """Return what a turn with calls brings; `outcome` shows their results and no reward."""
        return outcome

    def call_tool(self, call: ToolCall) -> ToolResult:
        """Carry out one call.

        Raises:
            EpisodeFailure: the tool failed, by no fault of the agent.
        """
        return self.toolset.call(call.name, call.arguments).or_raise()

    def act(self, action: str) -> Outcome:
        """Carry out the calls of a reply, or hear what it says."""
        reply = Reply.of_action(action)
        if not reply.calls and not reply.problems:
            outcome = self.heard(reply.text)
            outcome.info.setdefault("facts", {}).setdefault("tool_calls", 0)
            return outcome
        made = [Called(call, self.call_tool(call)) for call in reply.calls[: self.max_calls]]
        messages = [Message("tool", each.result.text, (), each.call.id) for each in made]
        complaints = [reply.complaint] if reply.problems else []
        if left := len(reply.calls) - len(made):
            complaints.append(
                f"{left} more calls were not made; at most {self.max_calls} are made in a turn"
            )
        messages += [Message("tool", each) for each in complaints]
        fits = all(each.result.status not in ("unknown tool", "wrong arguments") for each in made)
        outcome = Outcome(
            Observation("\n".join(message.content for message in messages), tuple(messages)),
            action_valid=fits and not complaints,
        )
        outcome.info["facts"] = {"tool_calls": len(made)}
        return self.called(made, outcome)
