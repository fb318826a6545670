"""What the model sees each turn: the whole history, a window of it, or a record of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentgym.errors import ConfigError
from agentgym.types import Message


@dataclass(frozen=True, slots=True)
class Exchange:
    """One past turn: what was observed, and the whole reply of the model."""

    observation: tuple[Message, ...]
    reply: str
    messages: tuple[Message, ...] = field(init=False)  #: the observation and the reply

    def __post_init__(self) -> None:
        said = (*self.observation, Message("assistant", self.reply))
        object.__setattr__(self, "messages", said)


class Context(Protocol):
    """Chooses the messages of a prompt from the history of an episode."""

    def show(
        self,
        opening: tuple[Message, ...],
        history: Sequence[Exchange],
        now: tuple[Message, ...],
    ) -> tuple[tuple[Message, ...], bool]:
        """Return the messages of this turn's prompt.

        Args:
            opening: what the agent is told once (the system message), possibly nothing.
            history: the turns before.
            now: the observation to answer.

        Returns:
            The messages, and whether they are those of the turn before plus its reply plus `now`
            (False: the prompt starts a new token sequence).
        """
        ...


@dataclass(frozen=True, slots=True)
class Append:
    """Everything, in order: each turn extends the token sequence of the one before."""

    def show(
        self,
        opening: tuple[Message, ...],
        history: Sequence[Exchange],
        now: tuple[Message, ...],
    ) -> tuple[tuple[Message, ...], bool]:
        """Return the whole history."""
        return (*opening, *_flat(history), *now), bool(history)


@dataclass(frozen=True, slots=True)
class Window:
    """The first observation (it names the task), the last `turns` turns, and the present one.

    As long as nothing has been left out a prompt extends the one before. From then on every turn
    starts a new token sequence, which costs a whole prompt each time.
    """

    turns: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.turns, bool) or not isinstance(self.turns, int) or self.turns < 0:
            raise ConfigError(
                f"a context window has a whole number of turns, 0 or more; got {self.turns!r}"
            )

    def show(
        self,
        opening: tuple[Message, ...],
        history: Sequence[Exchange],
        now: tuple[Message, ...],
    ) -> tuple[tuple[Message, ...], bool]:
        """Return the first observation, a note on what is left out, and the window."""
        gone = len(history) - self.turns
        if gone <= 0:
            return (*opening, *_flat(history), *now), bool(history)
        shown = [*_flat(history[gone:]), *now]
        first = "\n".join(message.content for message in history[0].observation)
        # Part of the next message rather than one of its own: templates want roles to alternate.
        lead = f"{first}\n\n[{gone} {'turn' if gone == 1 else 'turns'} left out]\n\n"
        head = shown[0]
        if head.role == "user":
            shown[0] = Message("user", lead + head.content)
        else:
            shown.insert(0, Message("user", lead.rstrip()))
        return (*opening, *shown), False


@dataclass(frozen=True, slots=True)
class Workspace:
    """One message that holds it all: the task, and each reply with what came of it, line by line.

    Every turn starts a new token sequence. The model reads a record of what was done, not a chat.
    """

    def show(
        self,
        opening: tuple[Message, ...],
        history: Sequence[Exchange],
        now: tuple[Message, ...],
    ) -> tuple[tuple[Message, ...], bool]:
        """Return the opening and the record."""
        said = [m.content for m in (*_flat(history), *now) if m.content]
        return (*opening, Message("user", "\n".join(said))), False


def _flat(history: Sequence[Exchange]) -> list[Message]:
    return [message for exchange in history for message in exchange.messages]
