"""The record that the roles of an agent share."""

import re
from dataclasses import dataclass, field
from typing import Final

from agentgym.context import Exchange
from agentgym.types import Message, Observation

_WORD: Final = re.compile(r"\w+")


@dataclass
class Memory:
    """The record that all roles read: the task, and each step with what came of it."""

    history: list[Exchange] = field(default_factory=list)
    now: tuple[Message, ...] = ()  #: what came of the last step; first of all the task
    results: list[str] = field(default_factory=list)  #: what tools brought
    conclusion: str | None = None  #: the last one
    proposed: bool = False  #: whether it was the last step, and is to be judged

    def note(self, step: str, result: str = "") -> None:
        """Add a step and what came of it; of an action that is not known yet."""
        self.history.append(Exchange(self.now, step))
        self.now = (Message("user", result),) if result else ()

    def observe(self, observation: Observation) -> None:
        """Take what the environment shows: the task, then what the last step brought."""
        self.now = observation.as_messages()
        if self.history:
            self.results.append(observation.text)

    def holds(self, answer: str) -> bool:
        """Whether a result has these words, in a row.

        >>> memory = Memory([], (), ["* Ada: Ada was born in Elm Combe."])
        >>> [memory.holds(answer) for answer in ("elm combe", "Combe Elm", "ad", "")]
        [True, False, False, False]
        """
        words = _words(answer)
        return bool(words.strip()) and any(words in _words(result) for result in self.results)


def _words(text: str) -> str:
    """Return the words of a text in lower case, a space around each.

    >>> _words("Elm-Combe, 3")
    ' elm combe 3 '
    """
    return " ".join(["", *_WORD.findall(text.casefold()), ""])
