"""What happens in a household world: state, commands, texts.

The texts, the order of lists and the set of admissible commands are those of the real ALFWorld
engine as its users get it: textworld's PDDL environment under alfworld's name demangler (alfworld
0.4.2, textworld 1.7.0). Some of its habits are surprising and kept:

- Listings go by class name, and within a class from the highest number down.
- A command must match exactly, in lower case and with single spaces; only white space around it is
  forgiven. Everything else is answered with "Nothing happens.".
- Only a receptacle that one stands at, or the object that one holds, can be examined.
- In the middle of the room `look` shows nothing; only the first observation lists the receptacles.
- An appliance works whether it is open or closed, and again on what is hot or clean already.
- A knife reaches into what is closed. A lamp that was used once is on for good.
- Receptacles may share a place. Going to where one already stands is not possible, and `look` lists
  as lying next to it what was taken from one receptacle of a place and put into another there.
- After the goal the game goes on; whether it is won is judged anew after every command.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from agentgym.envs.household import vocabulary as words
from agentgym.envs.household.world import (
    AROUND,
    CLEAN,
    COOL,
    HELD,
    HOT,
    LOOK,
    NOWHERE,
    ON,
    SLICED,
    World,
    listing,
)

NOTHING: Final = "Nothing happens."

HELP: Final = """Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  move (object) to (receptacle):  place an object in or on a receptacle
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""

ALWAYS: Final = ("help", "inventory", "look")

APPLIANCES: Final = {
    "clean": ("SinkBasin", words.CLEANABLE, CLEAN, 0),
    "cool": ("Fridge", words.COOLABLE, COOL, HOT),
    "heat": ("Microwave", words.HEATABLE, HOT, COOL),
}
"""Verb -> receptacle class, the objects it works on, the bit it sets, the bit it clears."""

LOOKS: Final = {
    HOT: "hot",
    COOL: "cold",
    CLEAN: "clean",
    SLICED: "sliced",
    HOT | CLEAN: "hot and clean",
    COOL | CLEAN: "cool and clean",
    HOT | SLICED: "hot sliced",
    COOL | SLICED: "cool sliced",
    CLEAN | SLICED: "clean sliced",
    HOT | CLEAN | SLICED: "hot and clean sliced",
    COOL | CLEAN | SLICED: "cool and clean sliced",
}
"""How an object with these bits is described."""


class Saved(NamedTuple):
    """A copy of the state of a `Play`; never changes."""

    world: World
    place: int
    held: int
    where: bytes
    opened: bytes
    marks: bytes
    inside: tuple[tuple[int, ...], ...]
    strays: frozenset[tuple[int, int]]
    seen: bytes
    won: bool
    commands: tuple[str, ...]


class Play:
    """The changing state of one world, and the commands that change it.

    Attributes:
        place: where the agent stands. held: the object it carries, or -1.
        where: receptacle of each object, or HELD. opened: per receptacle. marks: bits per object.
        inside: what each receptacle holds, in the order of listings.
        strays: (object, receptacle) pairs, the object having been taken from there and not put
            back, at places that several receptacles share; `look` depends on them.
        seen: per receptacle, whether the player has been shown what it holds.
        won: whether the goal holds in the present state.
    """

    __slots__ = (
        "commands", "held", "inside", "marks", "opened", "place", "seen", "strays", "where", "won",
        "world",
    )  # fmt: skip

    def __init__(self, world: World) -> None:
        self.world = world
        self.place, self.held = NOWHERE, -1
        self.where = bytearray(world.where)
        self.opened = bytearray(world.opened)
        self.marks = bytearray(len(world.classes))
        inside: list[list[int]] = [[] for _ in world.room.names]
        for o, r in enumerate(world.where):
            inside[r].append(o)
        self.inside = [tuple(objects) for objects in inside]
        self.strays: frozenset[tuple[int, int]] = frozenset()
        self.seen = bytearray(len(world.room.names))
        self._changed()

    def do(self, command: str) -> str | None:
        """Carry out a command and return the engine's answer; None: nothing happens."""
        command = command.strip()
        verb, _, rest = command.partition(" ")
        handler = _VERBS.get(verb)
        return None if handler is None else handler(self, rest)

    def key(self) -> str:
        """Return the canonical identity of world and state, without what the player has seen."""
        where, opened, marks = self.where.hex(), self.opened.hex(), self.marks.hex()
        key = f"{self.world.key}/{self.place}/{where}/{opened}/{marks}"
        return f"{key}/{sorted(self.strays)}" if self.strays else key

    def save(self) -> "Saved":
        """Return a copy of everything that changes."""
        return Saved(
            self.world, self.place, self.held, bytes(self.where), bytes(self.opened),
            bytes(self.marks), tuple(self.inside), self.strays, bytes(self.seen), self.won,
            self.commands,
        )  # fmt: skip

    @classmethod
    def load(cls, saved: "Saved") -> "Play":
        """Return a play in the state of `saved`."""
        play = cls.__new__(cls)
        play.world, play.place, play.held = saved.world, saved.place, saved.held
        play.where, play.opened = bytearray(saved.where), bytearray(saved.opened)
        play.marks, play.seen = bytearray(saved.marks), bytearray(saved.seen)
        play.inside, play.strays = list(saved.inside), saved.strays
        play.won, play.commands = saved.won, saved.commands
        return play

    # Looking ----------------------------------------------------------------------------------

    def _look(self, rest: str) -> str | None:
        if rest:
            return None
        if self.place == NOWHERE:
            return AROUND.format("nothing")
        lying = []
        if self.strays:
            here = self.world.room.at[self.place]
            lying = [self.world.a_names[o]
                     for o, r in sorted(self.strays)
                     if r in here and self.where[o] in here]  # fmt: skip
        return f"{self.world.room.facing[self.place]}{listing(lying)}."

    def _inventory(self, rest: str) -> str | None:
        if rest:
            return None
        if self.held < 0:
            return "You are not carrying anything."
        return f"You are carrying: {self.world.a_names[self.held]}."

    def _help(self, rest: str) -> str | None:
        return None if rest else HELP

    def _examine(self, name: str) -> str | None:
        r = self._here(name)
        if r is not None:
            return self._show(r)
        o = self.world.index.get(name)
        if o is None or o != self.held:
            return None
        marks = self.marks[o]
        if self.world.classes[o] in words.CONTAINERS:
            return f"This is a normal {name}. In it, you see nothing."
        if marks:
            return f"This is a {LOOKS[marks]} {name}."
        return f"There's nothing special about {name}."

    def _show(self, r: int) -> str:
        """Describe a receptacle; the player has now seen what is in it, unless it is closed."""
        room = self.world.room
        if room.openable[r]:
            if not self.opened[r]:
                return f"The {room.names[r]} is closed."
            start = f"The {room.names[r]} is open. In it, you see "
        else:
            start = f"On the {room.names[r]}, you see "
        self.seen[r] = 1
        a_names = self.world.a_names
        return f"{start}{listing([a_names[o] for o in self.inside[r]])}."

    # Moving and changing ----------------------------------------------------------------------

    def _go(self, rest: str) -> str | None:
        room = self.world.room
        if rest[:3] != "to ":
            return None
        r = room.index.get(rest[3:])
        if r is None or room.places[r] == self.place:
            return None
        self.place = room.places[r]
        self._changed()
        return f"You arrive at {room.names[r]}. {self._show(r)}"

    def _open(self, name: str) -> str | None:
        r = self._here(name)
        if r is None or self.opened[r] or not self.world.room.openable[r]:
            return None
        self.opened[r] = 1
        self._changed()
        return f"You open the {name}. {self._show(r)}"

    def _close(self, name: str) -> str | None:
        r = self._here(name)
        if r is None or not self.opened[r]:
            return None
        self.opened[r] = 0
        self._changed()
        return f"You close the {name}."

    def _take(self, rest: str) -> str | None:
        name, _, source = rest.partition(" from ")
        o, r = self.world.index.get(name), self._here(source)
        if o is None or r is None or self.held >= 0 or self.where[o] != r or not self._reach(r):
            return None
        if self.world.classes[o] in words.LAMPS:
            return None
        self.held, self.where[o] = o, HELD
        self.inside[r] = tuple([other for other in self.inside[r] if other != o])
        if self.world.room.shared[r]:
            self.strays |= {(o, r)}
        self._changed()
        return f"You pick up the {name} from the {source}."

    def _move(self, rest: str) -> str | None:
        name, _, target = rest.partition(" to ")
        o, r = self.world.index.get(name), self._here(target)
        if o is None or r is None or o != self.held or not self._reach(r):
            return None
        if self.world.classes[o] not in self.world.room.fits[r]:
            return None
        self.held, self.where[o] = -1, r
        self.inside[r] = tuple(sorted((*self.inside[r], o)))
        if self.strays:
            self.strays -= {(o, r)}
        self._changed()
        return f"You move the {name} to the {target}."

    def _use(self, name: str) -> str | None:
        o = self.world.index.get(name)
        if o is None or self.where[o] not in self._around():
            return None
        if not self._has_switches or o not in self.world.aims:
            return None
        self.marks[o] |= ON
        self._changed()
        return f"You turn on the {name}."

    def _slice(self, rest: str) -> str | None:
        name, _, tool = rest.partition(" with ")
        o, knife = self.world.index.get(name), self.world.index.get(tool)
        if o is None or knife is None or knife != self.held:
            return None
        classes = self.world.classes
        if classes[knife] not in words.KNIVES or classes[o] not in words.SLICEABLE:
            return None
        if self.where[o] not in self._around():
            return None
        self.marks[o] |= SLICED
        return f"You sliced the {name} with the {tool}."

    def _clean(self, rest: str) -> str | None:
        return self._treat("clean", rest)

    def _cool(self, rest: str) -> str | None:
        return self._treat("cool", rest)

    def _heat(self, rest: str) -> str | None:
        return self._treat("heat", rest)

    def _treat(self, verb: str, rest: str) -> str | None:
        cls, able, sets, clears = APPLIANCES[verb]
        name, _, tool = rest.partition(" with ")
        o, r = self.world.index.get(name), self._here(tool)
        if o is None or r is None or o != self.held:
            return None
        if self.world.room.classes[r] != cls or self.world.classes[o] not in able:
            return None
        self.marks[o] = (self.marks[o] | sets) & ~clears
        return f"You {verb} the {name} using the {tool}."

    # What holds now ---------------------------------------------------------------------------

    def _around(self) -> tuple[int, ...]:
        return self.world.room.at[self.place]

    def _here(self, name: str) -> int | None:
        """Return the receptacle of that name if the agent stands at it."""
        r = self.world.room.index.get(name)
        return r if r is not None and self.world.room.places[r] == self.place else None

    def _reach(self, r: int) -> bool:
        return not self.world.room.openable[r] or bool(self.opened[r])

    @property
    def _has_switches(self) -> bool:
        """Only lamps that the task is about have a switch, as in ALFWorld's own games."""
        return self.world.task.kind == LOOK

    def _changed(self) -> None:
        """Bring `won` and `commands` up to date."""
        self.won = self._judge()
        self.commands = self._admissible()

    def _judge(self) -> bool:
        world, where, marks = self.world, self.where, self.marks
        if world.task.kind == LOOK:
            return self.held in world.targets and any(
                marks[lamp] & ON and where[lamp] in self._around() for lamp in world.aims
            )
        mark, count, aims = world.goal.mark, world.goal.count, world.aims
        placed = [where[o] for o in world.targets if where[o] in aims and marks[o] & mark == mark]
        return len(placed) >= count and (count == 1 or max(map(placed.count, placed)) >= count)

    def _admissible(self) -> tuple[str, ...]:
        """Return the admissible commands, sorted, as the engine does.

        The many go-to commands are sorted already; `early`, `heat` and `late` hold what sorts
        before them, between them and "help", and after "look".
        """
        world, room = self.world, self.world.room
        early: list[str] = []
        heat: list[str] = []
        late: list[str] = []
        cls = name = ""
        if self.held >= 0:
            cls, name = world.classes[self.held], world.names[self.held]
            early.append(f"examine {name}")
        for r in room.at[self.place]:
            place, inside, opened = room.names[r], self.inside[r], self.opened[r]
            early.append(room.examine[r])
            if opened:
                early.append(f"close {place}")
            elif room.openable[r]:
                late.append(f"open {place}")
            if opened or not room.openable[r]:
                if not name:
                    late += [
                        f"take {world.names[o]} from {place}"
                        for o in inside
                        if world.classes[o] not in words.LAMPS
                    ]
                elif cls in room.fits[r]:
                    late.append(f"move {name} to {place}")
            if name:
                verb, able = _DOES.get(room.classes[r], _NOTHING_DONE)
                if cls in able:
                    (heat if verb == "heat" else early).append(f"{verb} {name} with {place}")
                if cls in words.KNIVES:
                    late += [
                        f"slice {world.names[o]} with {name}"
                        for o in inside
                        if world.classes[o] in words.SLICEABLE
                    ]
            if self._has_switches:
                late += [f"use {world.names[o]}" for o in inside if o in world.aims]
        early.sort()
        heat.sort()
        late.sort()
        return (*early, *room.goto[self.place], *heat, *ALWAYS, *late)


_DOES: Final = {cls: (verb, able) for verb, (cls, able, _, _) in APPLIANCES.items()}
_NOTHING_DONE: Final = ("", frozenset[str]())

_VERBS: Final[dict[str, Callable[[Play, str], str | None]]] = {
    "clean": Play._clean,
    "close": Play._close,
    "cool": Play._cool,
    "examine": Play._examine,
    "go": Play._go,
    "heat": Play._heat,
    "help": Play._help,
    "inventory": Play._inventory,
    "look": Play._look,
    "move": Play._move,
    "open": Play._open,
    "slice": Play._slice,
    "take": Play._take,
    "use": Play._use,
}
