"""What the service worlds share: a state that is plain data, tools as methods, goals."""

import copy
import hashlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agentgym.envs.tooluse.answers import Answer
from agentgym.envs.tooluse.names import Setting
from agentgym.errors import ToolError, nearest
from agentgym.tools.base import Toolset
from agentgym.types import JSON, ToolCall

__all__ = ["Goal", "Record", "State", "World", "call", "digest", "goal_of", "lines"]

Record = dict[str, str | int]
State = dict[str, dict[str, Record]]
"""Table to id to record."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that a task asks for.

    Attributes:
        kind: what sort of thing. about: the names that it is about.
        pieces: what the user says, in order. looks: calls that find out what has to be known.
        acts: calls that change the state as it shall be, in order.
        answers: what has to be said. impossible: the rules forbid it; then there are no acts.
    """

    kind: str
    about: tuple[str, ...]
    pieces: tuple[str, ...]
    looks: tuple[ToolCall, ...]
    acts: tuple[ToolCall, ...] = ()
    answers: tuple[Answer, ...] = ()
    impossible: bool = False


class World(ABC):
    """A service with a state and tools. Subclasses fill it, and know what can be asked of it.

    A tool is a method; its signature and docstring are its schema. What it cannot do it says by
    `ToolError`. Some rules are kept by the tools, others only by whoever uses them. The order in
    which independent things are done leaves no trace in the state: ids of new records come from
    what they hold.

    Class data:
        name: of the world. about: who the agent is. rules: what it must respect.
        tools: names of the methods. looks: those that change nothing.
        kinds: size to the kinds of goals that are asked there.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    rules: ClassVar[tuple[str, ...]]
    tools: ClassVar[tuple[str, ...]]
    looks: ClassVar[frozenset[str]]
    kinds: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(self) -> None:
        self.state: State = {}

    @abstractmethod
    def fill(self, setting: Setting) -> None:
        """Make up a state."""

    @abstractmethod
    def goal(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        """Make up a goal about records that no other goal is about, and add their ids to `taken`.

        Returns None where the state has nothing for such a goal.
        """

    def values(self, argument: str) -> Iterable[str]:
        """Return what an argument of a tool may be in this state, for lists of commands."""
        return ()

    def mend(self, table: str, key: str, before: Record | None) -> Iterable[ToolCall]:
        """Return calls that put a record back to what it was, where the tools can do that."""
        return ()

    # ----------------------------------------------------------------------------------------------

    @property
    def instructions(self) -> str:
        """Who the agent is and what it must respect."""
        return "\n".join((self.about, *(f"- {rule}" for rule in self.rules)))

    def toolset(self) -> Toolset:
        """Return the tools of this world; they follow its state, also when it is replaced."""
        return Toolset({name: getattr(self, name) for name in self.tools}, timeout_s=None)

    def run(self, calls: Iterable[ToolCall]) -> None:
        """Carry out calls that must succeed.

        Raises:
            ToolError: one does not.
        """
        for each in calls:
            getattr(self, each.name)(**each.arguments)

    def copied(self) -> State:
        """Return a copy of the state."""
        return {
            table: {key: {**record} for key, record in records.items()}
            for table, records in self.state.items()
        }

    def with_state(self, state: State) -> "World":
        """Return another world of the kind, in that state."""
        other = copy.copy(self)
        other.state = state
        return other

    def known(self, table: str, key: str, what: str = "") -> Record:
        """Return a record.

        Raises:
            ToolError: there is none; names the nearest.
        """
        found = self.state[table].get(key)
        if found is None:
            what = what or table.rstrip("s")
            near = nearest(key[:80], self.state[table])
            hint = f"; {near}" if near.startswith("did") else ""
            raise ToolError(f"there is no {what} {key[:80]!r}{hint}")
        return found

    def fresh_id(self, table: str, what: str, *holds: object) -> str:
        """Return the id of a new record, which only what it holds decides."""
        number = zlib.crc32(repr(holds).encode()) % 9000 + 1000
        while f"{what} {number}" in self.state[table]:
            number += 1
        return f"{what} {number}"

    def free(self, table: str, taken: set[str], setting: Setting) -> list[tuple[str, Record]]:
        """Return the records that no goal is about yet, in random order."""
        rows = [(key, row) for key, row in self.state[table].items() if key not in taken]
        return setting.dice.some(rows, len(rows))


def call(name: str, /, **arguments: JSON) -> ToolCall:
    """Return a call."""
    return ToolCall(name, arguments)


def goal_of(
    kind: str,
    about: Iterable[str],
    pieces: Iterable[str],
    looks: Iterable[ToolCall],
    acts: Iterable[ToolCall] = (),
    answers: Iterable[Answer] = (),
    impossible: bool = False,
) -> Goal:
    """Return a goal; empty names in `about` are left out."""
    names = tuple(name for name in about if name)
    return Goal(kind, names, tuple(pieces), tuple(looks), tuple(acts), tuple(answers), impossible)


def digest(value: object) -> str:
    """Return a digest of plain data, 16 bytes in hexadecimal."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def lines(rows: Iterable[str], nothing: str) -> str:
    """Return rows in an order that does not depend on when they were made."""
    return "\n".join(sorted(rows, key=lambda row: (len(row.partition(":")[0]), row))) or nothing
