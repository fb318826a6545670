"""How the built-in services are described, and the names that occur in what users ask of them.

A request is worded in several ways (the last is kept for `valid_unseen`), and has a plan. Words in
braces are slots: drawn from `NAMES` (the last third of each is kept for `valid_unseen`), or kept
from an earlier request of the dialogue that this one builds on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentgym.envs.simtools.dialogue import SimTool
from agentgym.types import JSON

Step = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Something that a user may ask for.

    Attributes:
        asked: wordings. plan: calls, then what to say; see `rules`.
        after: the requests of which one must have been made before. draw: slots drawn anew.
        never: tools that would be wrong here.
    """

    asked: tuple[str, ...]
    plan: tuple[Step, ...]
    after: tuple[str, ...] = ()
    draw: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A service: its tools by name, and the requests that it gets."""

    tools: Mapping[str, SimTool]
    requests: Mapping[str, Request] = field(default_factory=dict)


def result(tool: str, at: str) -> dict[str, JSON]:
    """Return a value that is taken from what a tool returned."""
    return {"result": tool, "at": at}


def call(tool: str, **arguments: Any) -> Step:
    """Return a call of a plan."""
    return {"call": tool, "arguments": arguments}


def say(*parts: Any) -> Step:
    """Return the answer of a plan."""
    return {"say": list(parts)}


def text(description: str) -> dict[str, JSON]:
    """Return the schema of a text."""
    return {"type": "string", "description": description}


def whole(least: int, most: int) -> dict[str, JSON]:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": least, "maximum": most}


def one(*values: str) -> dict[str, JSON]:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(values)}


def many(most: int, **properties: JSON) -> dict[str, JSON]:
    """Return the schema of a list of 2 or more objects."""
    items: JSON = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "array", "minItems": 2, "maxItems": most, "items": items}


ID: Final[dict[str, JSON]] = {"type": "string"}
"""The schema of a name that a tool gives out."""


def tool(
    name: str, description: str, takes: Mapping[str, JSON], gives: Mapping[str, JSON]
) -> tuple[str, SimTool]:
    """Return a tool whose arguments and results are all required, but for `optional_...`."""
    kinds: list[dict[str, JSON]] = []
    for properties in (takes, gives):
        named = {key.removeprefix("optional_"): value for key, value in properties.items()}
        required: list[JSON] = [key for key in properties if not key.startswith("optional_")]
        kinds.append({"type": "object", "properties": named, "required": required})
    return name, SimTool(name, description, *kinds)


DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SKIES: Final = ("clear", "cloudy", "rainy", "snowy", "foggy", "stormy")

NAMES: Final[Mapping[str, tuple[JSON, ...]]] = {
    "city": ("Aldport", "Brenholm", "Corvale", "Dunmere", "Estwick", "Farrow", "Galdry", "Holmby",
             "Istrel", "Jornvik", "Kesselby", "Lunden"),
    "other_city": ("Marrow Bay", "Nordholt", "Ostrava Hill", "Pellham", "Quenby", "Rothsay"),
    "nights": (1, 2, 3, 4, 5, 6),
    "day": DAYS,
    "event": ("frost", "flood", "storm", "heat", "smoke", "fog"),
    "song": ("Copper Rain", "Slow Harbour", "Nine Lanterns", "The Orchard Door", "Winter Static",
             "Paper Comet"),
    "playlist": ("Morning run", "Quiet evening", "Road trip", "Dinner", "Study", "Party"),
    "room": ("kitchen", "bedroom", "hall", "office", "bathroom", "garage"),
    "device": ("lamp", "heater", "fan", "radio", "kettle", "projector"),
    "degrees": (17, 18, 19, 20, 21, 22),
    "product": ("tent", "desk lamp", "backpack", "kettle", "notebook", "rain coat", "bicycle pump",
                "tea pot", "sleeping bag"),
    "count": (1, 2, 3, 4, 5, 6),
    "order": tuple(f"order {k}" for k in range(101, 131)),
    "cuisine": ("thai", "greek", "indian", "mexican", "italian", "korean"),
    "people": (2, 3, 4, 5, 6, 7),
    "hour": (9, 10, 11, 14, 15, 16),
    "title": ("Dentist", "Team lunch", "Piano lesson", "Budget review", "Yoga", "Car inspection"),
    "book": ("The Salt Garden", "Glass Mountains", "A Map of Rivers", "The Second Lighthouse",
             "Letters to Nobody", "Iron Feathers"),
}  # fmt: skip

TINY_NAMES: Final[Mapping[str, tuple[JSON, ...]]] = {
    kind: tuple(f"{kind} {k}" for k in range(1, 10)) for kind in ("city", "item", "shop", "guest")
}
"""What one word and a number name: one token each for a small policy."""
