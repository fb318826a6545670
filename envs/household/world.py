"""What a household world is made of: `Room`, `Task`, `World`. None of them ever changes.

A room is shared by all worlds that take place in it, a world by all episodes played in it; both
carry the strings that every step needs. What happens in a world is in `play.py`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agentgym.envs.household import vocabulary as words

HOT, COOL, CLEAN, SLICED, ON = 1, 2, 4, 8, 16
"""What an object can be, as bits; one byte per object."""

HELD: Final = 255
"""Where an object is that the agent carries; otherwise the index of its receptacle."""

NOWHERE: Final = -1
"""The middle of the room, where the agent starts and never returns."""

AROUND: Final = "You are in the middle of a room. Looking quickly around you, you see {}."

MAX_THINGS: Final = 99
"""The most receptacles, and the most objects, of a world."""


@dataclass(frozen=True, slots=True)
class Goal:
    """How one task type is worded and judged."""

    wordings: tuple[str, str]
    mark: int = 0  #: the bit that the object must carry
    tool: str = ""  #: the receptacle class that sets the bit
    verb: str = ""  #: the command that sets the bit
    able: frozenset[str] = words.PLACEABLE  #: the object classes that this can be done to
    count: int = 1  #: how many objects must lie together


GOALS: Final = {
    "pick_and_place_simple": Goal(("put a {0} in {1}", "put some {0} on {1}")),
    "look_at_obj_in_light": Goal(("look at {0} under the {1}", "examine the {0} with the {1}")),
    "pick_clean_then_place_in_recep": Goal(
        ("put a clean {0} in {1}", "clean some {0} and put it in {1}"),
        CLEAN,
        "SinkBasin",
        "clean",
        words.CLEANABLE,
    ),
    "pick_heat_then_place_in_recep": Goal(
        ("put a hot {0} in {1}", "heat some {0} and put it in {1}"),
        HOT,
        "Microwave",
        "heat",
        words.HEATABLE,
    ),
    "pick_cool_then_place_in_recep": Goal(
        ("put a cool {0} in {1}", "cool some {0} and put it in {1}"),
        COOL,
        "Fridge",
        "cool",
        words.COOLABLE,
    ),
    "pick_two_obj_and_place": Goal(
        ("put two {0} in {1}", "find two {0} and put them in {1}"), count=2
    ),
}
"""The six task types of ALFWorld, in ALFWorld's order."""

LOOK: Final = "look_at_obj_in_light"


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for: `obj` in or on `target` (for "look", `target` is the lamp's class)."""

    kind: str
    obj: str
    target: str
    wording: int = 0  #: 0 or 1, one of two ways to say the same

    @property
    def text(self) -> str:
        """The task in ALFWorld's words.

        >>> Task("pick_two_obj_and_place", "Mug", "Shelf").text
        'put two mug in shelf'
        """
        wording = GOALS[self.kind].wordings[self.wording]
        return wording.format(self.obj.lower(), self.target.lower())


def numbered(classes: Sequence[str]) -> tuple[str, ...]:
    """Name sorted classes as the engine does: the last number of a class comes first.

    >>> numbered(["Apple", "Mug", "Mug"])
    ('apple 1', 'mug 2', 'mug 1')
    """
    left: dict[str, int] = {}
    for cls in classes:
        left[cls] = left.get(cls, 0) + 1
    names = []
    for cls in classes:
        names.append(f"{cls.lower()} {left[cls]}")
        left[cls] -= 1
    return tuple(names)


def listing(items: Sequence[str]) -> str:
    """Join as the engine joins.

    >>> listing([]), listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])
    ('nothing', 'a', 'a, and b', 'a, b, and c')
    """
    if len(items) < 2:
        return items[0] if items else "nothing"
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def check_classes(what: str, classes: Sequence[str]) -> None:
    """Refuse what cannot be listed and numbered as the engine does.

    Raises:
        ValueError: there are none or too many, or they are not sorted.
    """
    if not 0 < len(classes) <= MAX_THINGS:
        raise ValueError(f"the {what} must be 1 to {MAX_THINGS}, got {len(classes)}")
    if list(classes) != sorted(classes, key=str.lower):
        raise ValueError(f"the {what} must be sorted by lower-case class name, got {classes}")


@dataclass(slots=True, eq=False)
class Room:
    """A room: its receptacles and where they stand.

    Args:
        kind: "kitchen", "bedroom", ...
        classes: receptacle classes, sorted by lower-case name.
        places: the place of each receptacle, numbered from 0 without gaps.
    """

    kind: str
    classes: tuple[str, ...]
    places: tuple[int, ...]
    names: tuple[str, ...] = field(init=False)
    index: dict[str, int] = field(init=False)
    openable: tuple[bool, ...] = field(init=False)
    shared: tuple[bool, ...] = field(init=False)  #: per receptacle: others stand at its place
    fits: tuple[frozenset[str], ...] = field(init=False)
    at: tuple[tuple[int, ...], ...] = field(init=False)  #: receptacles by place; last: the middle
    goto: tuple[tuple[str, ...], ...] = field(init=False)  #: commands by place; last: the middle
    examine: tuple[str, ...] = field(init=False)
    facing: tuple[str, ...] = field(init=False)  #: how `look` begins, by place

    def __post_init__(self) -> None:
        check_classes("receptacles of a room", self.classes)
        count = max(self.places, default=-1) + 1
        if len(self.places) != len(self.classes) or set(self.places) != set(range(count)):
            raise ValueError(
                f"the {len(self.classes)} receptacles need a place each, numbered from 0, no gaps; "
                f"got {self.places}"
            )
        self.names = numbered(self.classes)
        self.index = {name: r for r, name in enumerate(self.names)}
        self.openable = tuple(cls in words.OPENABLE for cls in self.classes)
        self.fits = tuple(words.FITS[cls] for cls in self.classes)
        self.examine = tuple(f"examine {name}" for name in self.names)
        at: list[list[int]] = [[] for _ in range(count)]
        for r, place in enumerate(self.places):
            at[place].append(r)
        self.at = (*map(tuple, at), ())
        self.shared = tuple(len(at[place]) > 1 for place in self.places)
        go = sorted((f"go to {name}", self.places[r]) for r, name in enumerate(self.names))
        self.goto = tuple(
            tuple(command for command, there in go if there != place)
            for place in (*range(len(at)), NOWHERE)
        )
        facing = [listing([self.names[r] for r in here]) for here in at]
        self.facing = tuple(f"You are facing the {who}. Next to it, you see " for who in facing)


@dataclass(slots=True, eq=False)
class World:
    """A room with its objects and a task: the state in which an episode starts.

    Args:
        room: where.
        classes: object classes, sorted by lower-case name.
        where: the receptacle that holds each object at the start.
        opened: whether each receptacle is open at the start (0 or 1; 0 for what has no door).
        task: what is asked for.
    """

    room: Room
    classes: tuple[str, ...]
    where: bytes
    opened: bytes
    task: Task
    goal: Goal = field(init=False)
    key: str = field(init=False)  #: short digest of all of the above
    names: tuple[str, ...] = field(init=False)
    index: dict[str, int] = field(init=False)
    a_names: tuple[str, ...] = field(init=False)
    targets: tuple[int, ...] = field(init=False)  #: objects of the class that is asked for
    aims: tuple[int, ...] = field(init=False)  #: receptacles of the target class, or lamps

    def __post_init__(self) -> None:
        check_classes("objects of a world", self.classes)
        if len(self.where) != len(self.classes) or len(self.opened) != len(self.room.classes):
            raise ValueError(
                f"where: {len(self.classes)} objects need as many bytes, got {len(self.where)}; "
                f"opened: {len(self.room.classes)} receptacles need as many, got {len(self.opened)}"
            )
        self.goal = GOALS[self.task.kind]
        self.key = digest_of(
            self.room, self.classes, self.where, self.opened, self.task, self.task.wording
        )
        self.names = numbered(self.classes)
        self.index = {name: o for o, name in enumerate(self.names)}
        self.a_names = tuple([f"a {name}" for name in self.names])
        self.targets = tuple([o for o, cls in enumerate(self.classes) if cls == self.task.obj])
        among = self.classes if self.task.kind == LOOK else self.room.classes
        self.aims = tuple([i for i, cls in enumerate(among) if cls == self.task.target])

    @property
    def intro(self) -> str:
        """The first observation."""
        around = AROUND.format(listing([f"a {name}" for name in self.room.names]))
        return (
            f"-= Welcome to TextWorld, ALFRED! =-\n\n{around}\n\nYour task is to: {self.task.text}."
        )


def digest_of(
    room: Room, classes: tuple[str, ...], where: bytes, opened: bytes, task: Task, *more: object
) -> str:
    """Return 16 hex digits that identify a world (and `more`), without the wording of its task."""
    content = (
        room.kind, room.classes, room.places, classes, where, opened, task.kind, task.obj,
        task.target, *more,
    )  # fmt: skip
    return hashlib.blake2b(repr(content).encode(), digest_size=8).hexdigest()
