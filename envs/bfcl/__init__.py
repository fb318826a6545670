"""The multi-turn part of the Berkeley Function Calling Leaderboard, over a copy of its package."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from agentgym.env import Outcome
from agentgym.envs.bfcl.package import CATEGORIES, Entry, open_package
from agentgym.envs.bfcl.referee import Referee
from agentgym.errors import ConfigError, ResetNeeded, ToolError, UnknownName
from agentgym.options import check_switch, check_whole
from agentgym.toolcalls import Reply
from agentgym.toolenv import Called, ToolEnv
from agentgym.tools.base import Tool, ToolResult, Toolset
from agentgym.types import JSON, ToolCall

__all__ = ["Bfcl"]

_SAID: Final = "Done."
_MAX_OUTPUT: Final = 1_000_000


class Bfcl(ToolEnv):
    """Serve a user over several turns with tools of simulated services (BFCL multi-turn).

    Data and services are those of the package bfcl-eval, in a copy that `agentgym fetch bfcl`
    places; it is not installed. The user's turns come one by one: the agent calls tools, and ends a
    turn by speaking without a call. Success is decided by the package's rules, see `referee`; the
    episode ends with the last turn, or as soon as one has failed.

    Any N consecutive seeds play each of the N entries once, in the package's order. There is
    nothing random. As in the package, a tool that comes late works before it is offered; other than
    there, a malformed call does not end the user's turn, and has an observation of its own, as have
    unknown tools and arguments that have no place.

    `info` holds `entry` (its id), `user_turn`, and at the end `verdict`: why it failed, or nothing.

    Args:
        category: "base", "miss_func" (a tool comes late), "miss_param" (the user says something
            late) or "long_context" (services with large states).
        first: the number of the first entry to play, from 0.
        count: how many entries; by default all.
        partial: give 1/n for each of the n turns of the user that passes, instead of 1 at the end.
        path: the folder of the copy.
        max_turns: turn limit; by default none but 20 steps in each turn of the user.
    """

    version = 0
    instructions = (
        "A user has several requests, one after the other. Fulfil each with the tools; make as "
        "many calls as it takes. When a request is fulfilled, or cannot be, say so without a call."
    )
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {
        category: {"category": category} for category in CATEGORIES
    }
    max_calls: ClassVar[int] = 64

    def __init__(
        self,
        *,
        category: str = "base",
        first: int = 0,
        count: int | None = None,
        partial: bool = False,
        path: str | None = None,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Read the entries and load the services that they involve.

        Raises:
            ConfigError: there is no copy of the package, a service needs a package that is not
                installed, or there are no such entries.
            UnknownName: no such category.
        """
        super().__init__(max_turns=max_turns, render_mode=render_mode)
        if category not in CATEGORIES:
            raise UnknownName("category of bfcl", category, CATEGORIES)
        check_whole("first", first, least=0)
        if count is not None:
            check_whole("count", count)
        check_switch("partial", partial)
        self._package, self._category = open_package(path), category
        there = len(self._package.entries(category))
        count = there - first if count is None else count
        if count < 1 or first + count > there:
            raise ConfigError(
                f"there are {there} entries of {category}; first={first} and count={count} "
                "do not fit"
            )
        self._first, self._count = first, count
        self.partial = self.rewards_turns = partial
        for service in {name for entry in self._chosen() for name in entry.services}:
            self._package.service(service)
        self._referee: Referee | None = None

    # What happens ---------------------------------------------------------------------------------

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Start the conversation that the seed stands for."""
        for key in options:
            raise UnknownName("reset option of bfcl", key, [])
        entry = self._chosen()[self.drawn_number(self._count)]
        self._referee = Referee(self._package, entry)
        self.use(self._tools())
        return self._asked()

    def call_tool(self, call: ToolCall) -> ToolResult:
        """Carry out one call, and take down what it brought."""
        result = super().call_tool(call)
        self._play().got(result.text)
        return result

    def called(self, calls: Sequence[Called], outcome: Outcome) -> Outcome:
        """Count the step."""
        if self._play().step():
            return self._over("too many steps in one turn of the user")
        outcome.info |= self._about()
        return outcome

    def heard(self, text: str) -> Outcome:
        """Judge the turn of the user that ends here, and begin the next."""
        play = self._play()
        failed = play.end_turn()
        done = play.turn == len(play.entry.asked)
        outcome = self._over(failed) if failed or done else self._asked()
        share = 1 / len(play.entry.asked)
        outcome.reward = (share if self.partial else float(done)) if not failed else 0.0
        if self.partial:
            outcome.reward_parts = {"turns": outcome.reward}
        return outcome

    # What is known --------------------------------------------------------------------------------

    def gold(self) -> Iterable[str] | None:
        """Return the ground truth, as long as the services are where it leads."""
        rest = self._play().rest()
        if rest is None:
            return None
        plan = []
        for calls in rest:
            if calls:
                plan.append(Reply("", tuple(ToolCall(*call) for call in calls)).action)
            plan.append(Reply(_SAID).action)
        return plan

    def state_key(self) -> str | None:
        """Return the identity of the entry, its progress and the state of all services."""
        if self._referee is None:
            return None
        state = repr(self._referee.key())
        return hashlib.blake2b(state.encode("utf-8", "replace"), digest_size=16).hexdigest()

    # ----------------------------------------------------------------------------------------------

    def _chosen(self) -> tuple[Entry, ...]:
        return self._package.entries(self._category)[self._first : self._first + self._count]

    def _play(self) -> Referee:
        if self._referee is None:
            raise ResetNeeded("bfcl: call reset() first")
        return self._referee

    def _asked(self) -> Outcome:
        """Return what the user says now, with the tools that are new; offer what there is."""
        play = self._play()
        held_back = play.entry.held_back
        later = {name for turn, names in held_back.items() if turn > play.turn for name in names}
        offered = [name for name in self.toolset.names if name not in later]
        self.tools = tuple(self.toolset[name].schema for name in offered)
        new = [self.toolset[name].schema["function"] for name in held_back.get(play.turn, ())]
        text = play.entry.asked[play.turn] or self._package.new_tools
        return Outcome("\n".join([*map(json.dumps, new), text]), info=self._about())

    def _over(self, why: str) -> Outcome:
        return Outcome("", terminated=True, success=not why, info={**self._about(), "verdict": why})

    def _about(self) -> dict[str, Any]:
        return {"entry": self._play().entry.id, "user_turn": self._play().turn}

    def _tools(self) -> Toolset:
        """Return the tools of all services of this conversation."""
        play = self._play()
        tools = {}
        for service in play.entry.services:
            for name, about in self._package.tools(service).items():
                reader, run = _Reader(play, name), _Run(play, name)
                tools[name] = Tool(name, about.description, about.parameters, reader, run)
        return Toolset(tools.values(), timeout_s=None, max_output=_MAX_OUTPUT)


class _Reader:
    """Takes arguments as they are, as long as the tool has places for them."""

    def __init__(self, play: Referee, tool: str) -> None:
        self._signature = play.services.signature(tool)

    def __deepcopy__(self, memo: object) -> "_Reader":
        return self

    def __call__(self, arguments: Mapping[str, JSON]) -> Mapping[str, object]:
        try:
            self._signature.bind(**arguments)
        except TypeError as error:
            raise ToolError(f"wrong arguments: {error}") from None
        return arguments


class _Run:
    """Calls a tool of the conversation being played."""

    def __init__(self, play: Referee, tool: str) -> None:
        self._play, self._tool = play, tool

    def __call__(self, /, **arguments: Any) -> str:
        return self._play.call(self._tool, arguments)
