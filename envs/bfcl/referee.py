"""Plays one conversation beside its ground truth, and judges it by the package's rules.

After every turn of the user whose ground truth has calls (`multi_turn_checker` of bfcl-eval):
  - the agent has made a call in it;
  - every public attribute of every service equals that after the ground truth;
  - each result of that turn's ground truth is among the results that the agent has got so far, as
    often as it is there.
A turn of the user without ground truth is not judged. More than 20 steps in one turn are a failure.
"""

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Final

from agentgym.envs.bfcl.package import Entry, Package
from agentgym.envs.bfcl.services import Services
from agentgym.types import JSON

MOST_STEPS: Final = 20
"""Of the agent within one turn of the user."""

Call = tuple[str, dict[str, JSON]]


class Referee:
    """One conversation being played.

    Attributes:
        services: as the agent left them. turn: of the user, from 0. steps: of the agent in it.
    """

    def __init__(self, package: Package, entry: Entry) -> None:
        self.entry = entry
        self.services = Services(package, entry)
        self.turn = self.steps = 0
        self._right = [[*map(self.services.parse, calls)] for calls in entry.truth]
        self._truth = copy.deepcopy(self.services)  # after the ground truth of the turns before
        self._results: Counter[str] = Counter()
        self._called = False
        self._followed = 0  # calls of this turn's ground truth that the agent made, in order
        self._needed = _needed(copy.deepcopy(self.services), self._right)

    def step(self) -> bool:
        """Count one step of the agent; return whether it is one too many."""
        self.steps += 1
        return self.steps > MOST_STEPS

    def call(self, tool: str, arguments: Mapping[str, JSON]) -> str:
        """Carry out a call of the agent."""
        right = self._right[self.turn]
        if self._followed < len(right) and (tool, dict(arguments)) == right[self._followed]:
            self._followed += 1
        return self.services.run(tool, arguments)

    def got(self, result: str) -> None:
        """Take down what a call brought, carried out or not."""
        self._called = True
        self._results[result] += 1

    def end_turn(self) -> str:
        """Go on to the next turn of the user; return why this one failed, or nothing."""
        right = self._right[self.turn]
        wanted = Counter(self._truth.run(*call) for call in right)
        judged = bool(right)
        called, self._called = self._called, False
        self.turn, self.steps, self._followed = self.turn + 1, 0, 0
        if judged and not called:
            return "no call was made"
        if judged and not self.services.same_as(self._truth):
            return "the services are not in the state that the ground truth leaves"
        if judged and wanted - self._results:
            return "a result of the ground truth was not seen"
        return ""

    def rest(self) -> list[list[Call]] | None:
        """Return the ground truth from here on, a list for each turn, if it leads to success.

        That is known where the services are as the part of it that was followed leaves them.
        """
        if self.turn == len(self._right):
            return None
        right, *later = self._right[self.turn :]
        here = copy.deepcopy(self._truth)
        for call in right[: self._followed]:
            here.run(*call)
        if here.digest() != self.services.digest():
            return None
        return [right[self._followed :], *later]

    def key(self) -> tuple[object, ...]:
        """Return all that the rest of the conversation depends on, but for the count of steps."""
        useful = self._results & self._needed[self.turn] if self.turn < len(self._needed) else {}
        return (
            self.entry.id,
            self.turn,
            self._called,
            self.services.digest(),
            sorted(useful.items()),
        )


def _needed(services: Services, right: list[list[Call]]) -> list[Counter[str]]:
    """Return how often each result is wanted at most, from each turn of the user on."""
    wanted = [Counter(services.run(*call) for call in calls) for calls in right]
    for turn in reversed(range(len(wanted) - 1)):
        wanted[turn] |= wanted[turn + 1]
    return wanted
