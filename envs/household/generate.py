"""Procedural worlds: which rooms exist, and which world a seed stands for.

Splits never share anything they should not, whatever the seed and the size:
- every room's layout (its kind and its receptacles) belongs either to `train` and `valid_seen` or
  to `valid_unseen`, decided by a digest of the layout;
- every world in a shared room belongs either to `train` or to `valid_seen`, decided by a digest of
  the world without the wording of its task.
"""

import functools
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentgym.envs.household import vocabulary as words
from agentgym.envs.household.world import GOALS, LOOK, Room, Task, World, digest_of
from agentgym.options import check_choice

SPLITS: Final = ("train", "valid_seen", "valid_unseen")
TASKS: Final = ("any", *GOALS)

_TASKS_OF: Final[Mapping[str, frozenset[str]]] = {
    "studio": frozenset(GOALS),
    "kitchen": frozenset(GOALS) - {LOOK},
    "livingroom": frozenset({"pick_and_place_simple", "pick_two_obj_and_place", LOOK}),
    "bedroom": frozenset({"pick_and_place_simple", "pick_two_obj_and_place", LOOK}),
    "bathroom": frozenset(
        {"pick_and_place_simple", "pick_two_obj_and_place", "pick_clean_then_place_in_recep"}
    ),
}

_FURNITURE: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "kitchen": {
        "Fridge": (1, 1), "Microwave": (1, 1), "SinkBasin": (1, 1), "CounterTop": (1, 3),
        "Cabinet": (4, 12), "Drawer": (3, 9), "StoveBurner": (4, 4), "CoffeeMachine": (1, 1),
        "Toaster": (1, 1), "GarbageCan": (1, 1), "DiningTable": (0, 1), "Shelf": (0, 3),
    },
    "livingroom": {
        "Sofa": (1, 2), "ArmChair": (1, 2), "CoffeeTable": (1, 2), "SideTable": (1, 3),
        "TVStand": (0, 1), "Drawer": (3, 9), "Cabinet": (0, 8), "Shelf": (1, 7),
        "GarbageCan": (1, 1), "Ottoman": (0, 1), "Safe": (0, 1), "Dresser": (0, 1),
        "DiningTable": (0, 1),
    },
    "bedroom": {
        "Bed": (1, 2), "Desk": (1, 2), "Dresser": (0, 1), "Drawer": (4, 12), "Shelf": (2, 8),
        "SideTable": (1, 2), "GarbageCan": (1, 1), "LaundryHamper": (0, 1), "Safe": (0, 1),
        "ArmChair": (0, 1), "Cabinet": (0, 4),
    },
    "bathroom": {
        "Toilet": (1, 1), "SinkBasin": (1, 2), "BathtubBasin": (0, 1), "CounterTop": (1, 2),
        "Cabinet": (3, 8), "Drawer": (2, 8), "HandTowelHolder": (1, 2), "TowelHolder": (1, 2),
        "ToiletPaperHanger": (1, 1), "GarbageCan": (1, 1), "Shelf": (0, 4), "Cart": (0, 1),
    },
}  # fmt: skip
"""Receptacles of each kind of room: the fewest and the most of a class."""

_STUDIO_FIXED: Final = ("Fridge", "Microwave", "SinkBasin")
_STUDIO_EXTRA: Final = words.class_list("""
    Cabinet Cabinet CounterTop CounterTop Desk DiningTable Drawer Drawer GarbageCan Shelf Shelf
    SideTable
""")
"""A studio has the first three, and three of the others."""

_THINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "kitchen": words.class_list("""
        Apple Bowl Bread ButterKnife Cup DishSponge Egg Fork Glassbottle Kettle Knife Ladle
        Lettuce Mug Pan PepperShaker Plate Pot Potato SaltShaker SoapBottle Spatula Spoon Statue
        Tomato Vase WineBottle
    """),
    "livingroom": words.class_list("""
        Book Bowl Box Candle CellPhone CreditCard KeyChain Laptop Newspaper Pillow Plate
        RemoteControl Statue TissueBox Vase Watch WateringCan
    """),
    "bedroom": words.class_list("""
        AlarmClock BaseballBat BasketBall Book Bowl Box CD CellPhone Cloth CreditCard KeyChain
        Laptop Mug Pen Pencil Pillow TennisRacket TissueBox Vase Watch
    """),
    "bathroom": words.class_list("""
        Candle Cloth DishSponge HandTowel Plunger SoapBar SoapBottle SprayBottle TissueBox
        ToiletPaper Towel
    """),
}
"""Objects of each kind of room."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the worlds of one size are.

    Attributes:
        kinds: kinds of rooms. rooms: distinct layouts per kind in train and in valid_unseen.
        objects: fewest and most objects. turns: turn limit.
        things: object classes, for kinds of rooms that have no list of their own.
        clutter: whether there are several lamps and spare copies of what is asked for, doors that
            stand open, and receptacles that share a place.
    """

    kinds: tuple[str, ...]
    rooms: tuple[int, int]
    objects: tuple[int, int]
    turns: int
    things: tuple[str, ...] = ()
    clutter: bool = False


_FEW = "Apple Bread Cup Egg Mug Plate Potato Tomato"
_MORE = f"{_FEW} Bowl ButterKnife DishSponge Fork Knife Lettuce Pan Pot Spatula Spoon"

SIZES: Final[Mapping[str, Size]] = {
    "tiny": Size(("studio",), (60, 12), (3, 4), 20, words.class_list(_FEW)),
    "small": Size(("studio",), (60, 12), (4, 6), 20, words.class_list(_MORE)),
    "full": Size(tuple(_FURNITURE), (24, 6), (18, 22), 50, clutter=True),
}


def generate(seed: int, *, size: str = "full", split: str = "train", task: str = "any") -> World:
    """Return the world that a seed stands for.

    Args:
        seed: any whole number; equal arguments give equal worlds, in any process.
        size: "tiny", "small" or "full".
        split: "train", "valid_seen" (rooms of train, other worlds) or "valid_unseen" (other rooms).
        task: one of ALFWorld's six task types, or "any".

    Raises:
        ConfigError: an option has no such value.
    """
    check_choice("household", "size", size, SIZES)
    check_choice("household", "split", split, SPLITS)
    check_choice("household", "task", task, TASKS)
    rng = random.Random(f"{seed}/{split}")
    kind = rng.choice(TASKS[1:]) if task == "any" else task
    unseen = split == "valid_unseen"
    while True:
        room = rng.choice(rooms(size, unseen)[kind])
        world = _furnish(rng, SIZES[size], room, kind, split)
        if world is not None:
            return world


@functools.cache
def rooms(size: str, unseen: bool) -> Mapping[str, tuple[Room, ...]]:
    """Return the rooms of a size, by the task types that they are good for."""
    found: list[Room] = []
    for kind in SIZES[size].kinds:
        rng = random.Random(f"rooms/{size}/{kind}/{unseen}")
        layouts: dict[tuple[str, ...], Room] = {}
        while len(layouts) < SIZES[size].rooms[unseen]:
            classes = _studio(rng) if kind == "studio" else _draw_furniture(rng, kind)
            if _is_unseen(kind, classes) == unseen and classes not in layouts:
                places = _draw_places(rng, len(classes), SIZES[size].clutter)
                layouts[classes] = Room(kind, classes, places)
        found += layouts.values()
    return {task: tuple(room for room in found if task in _TASKS_OF[room.kind]) for task in GOALS}


def is_unseen(room: Room) -> bool:
    """Return whether a room's layout belongs to `valid_unseen` alone."""
    return _is_unseen(room.kind, room.classes)


def _is_unseen(kind: str, classes: tuple[str, ...]) -> bool:
    layout = hashlib.blake2b(repr((kind, classes)).encode(), digest_size=4).digest()
    return int.from_bytes(layout) % 5 == 0


def _studio(rng: random.Random) -> tuple[str, ...]:
    """Draw a small room of six receptacles in which every task type is possible."""
    while True:
        extra = rng.sample(_STUDIO_EXTRA, 3)
        if words.LAMP_PLACES["DeskLamp"].intersection(extra):
            return tuple(sorted((*_STUDIO_FIXED, *extra), key=str.lower))


def _draw_furniture(rng: random.Random, kind: str) -> tuple[str, ...]:
    """Draw the receptacles of a room as large as ALFWorld's."""
    while True:
        classes = [
            cls
            for cls, (fewest, most) in _FURNITURE[kind].items()
            for _ in range(rng.randint(fewest, most))
        ]
        if 18 <= len(classes) <= 32:
            return tuple(sorted(classes, key=str.lower))


def _draw_places(rng: random.Random, count: int, clutter: bool) -> tuple[int, ...]:
    """Give each receptacle a place; with clutter, some share one, as in ALFWorld's rooms."""
    places: list[int] = []
    for _ in range(count):
        shared = clutter and places and rng.random() < 0.12
        places.append(rng.choice(places) if shared else max(places, default=-1) + 1)
    return tuple(places)


def _furnish(rng: random.Random, size: Size, room: Room, kind: str, split: str) -> World | None:
    """Draw a task and the objects of a room; None if this room or this draw does not fit."""
    task = _draw_task(rng, size, room, kind)
    if task is None:
        return None
    classes = _draw_objects(rng, size, room, task)
    where = bytearray()
    for cls in classes:
        avoid = task.target if cls == task.obj else ""
        choices = [r for r in _homes(room, cls) if room.classes[r] != avoid]
        if not choices:
            return None
        where.append(rng.choice(choices))
    opened = bytes(openable and size.clutter and rng.random() < 0.03 for openable in room.openable)
    if split != "valid_unseen":
        shown = int(digest_of(room, classes, bytes(where), opened, task), 16) % 4 == 0
        if shown != (split == "valid_seen"):
            return None
    return World(room, classes, bytes(where), opened, task)


def _draw_task(rng: random.Random, size: Size, room: Room, kind: str) -> Task | None:
    goal = GOALS[kind]
    obj = rng.choice([cls for cls in _classes(size, room) if cls in goal.able])
    if kind == LOOK:
        lamps = [cls for cls in _lamps(size) if _homes(room, cls)]
        targets = lamps
    else:
        targets = sorted({c for c in room.classes if obj in words.FITS[c] and c != goal.tool})
    if not targets:
        return None
    return Task(kind, obj, rng.choice(targets), rng.randrange(2))


def _draw_objects(rng: random.Random, size: Size, room: Room, task: Task) -> tuple[str, ...]:
    count = rng.randint(*size.objects)
    chosen = [task.obj] * GOALS[task.kind].count
    lamps = _lamps(size) if room.kind in ("bedroom", "livingroom") else ()
    if task.kind == LOOK:
        chosen.append(task.target)
    if size.clutter:
        chosen += [task.obj] * (rng.random() < 0.3)
        chosen += [lamp for lamp in lamps if rng.random() < 0.3 and _homes(room, lamp)]
    others = [cls for cls in _classes(size, room) if cls != task.obj and _homes(room, cls)]
    while len(chosen) < count:
        cls = rng.choice(others)
        if chosen.count(cls) < 3:
            chosen.append(cls)
    return tuple(sorted(chosen, key=str.lower))


def _classes(size: Size, room: Room) -> tuple[str, ...]:
    return size.things or _THINGS[room.kind]


def _lamps(size: Size) -> tuple[str, ...]:
    return ("DeskLamp", "FloorLamp") if size.clutter else ("DeskLamp",)


def _homes(room: Room, cls: str) -> list[int]:
    """Return the receptacles in which an object of a class may be at the start."""
    if cls in words.LAMPS:
        return [r for r, where in enumerate(room.classes) if where in words.LAMP_PLACES[cls]]
    return [r for r, fits in enumerate(room.fits) if cls in fits]
