"""What a family of functions is, and values to call functions with."""

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agentgym.types import JSON

Arguments = tuple[Any, ...]
"""Of one call, by position: JSON values."""

Option = str | Mapping[str, str]

WORDS: Final = (
    "oak", "ash", "elm", "fig", "ivy", "level", "radar", "noon", "apple", "plum", "pear", "stone",
    "river", "cloud", "amber", "cedar", "maple", "north", "delta", "kayak", "civic", "ember",
    "hollow", "willow",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """Functions that do nearly the same, each with a statement in words.

    Attributes:
        name: unique. statement, source: with `$slot` where they vary; the function is named `$f`.
        slots: the options of each slot. An option that is a mapping fills several slots.
        arguments: of one call, drawn.
        fixed: calls that are always made: the edges.
    """

    name: str
    statement: str
    source: str
    slots: Mapping[str, Sequence[Option]]
    arguments: Callable[[np.random.Generator], Arguments]
    fixed: Sequence[Arguments] = field(default=())

    def draw(self, rng: np.random.Generator) -> tuple[str, str, str]:
        """Return statement, source and name of one of its functions."""
        filled: dict[str, str] = {}
        for slot, options in self.slots.items():
            option = options[int(rng.integers(len(options)))]
            filled |= {slot: option} if isinstance(option, str) else dict(option)
        statement = string.Template(self.statement).substitute(filled)
        source = string.Template(self.source.strip("\n")).substitute(filled)
        return statement, source, filled["f"]


def number(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included."""
    return int(rng.integers(low, high + 1))


def numbers(
    rng: np.random.Generator, low: int = -9, high: int = 9, most: int = 8, least: int = 0
) -> list[JSON]:
    """Return a list of whole numbers."""
    return [number(rng, low, high) for _ in range(number(rng, least, most))]


def word(rng: np.random.Generator) -> str:
    """Return a word."""
    return WORDS[int(rng.integers(len(WORDS)))]


def words(rng: np.random.Generator, most: int = 6, least: int = 0) -> list[JSON]:
    """Return a list of words."""
    return [word(rng) for _ in range(number(rng, least, most))]


def text(rng: np.random.Generator, most: int = 6) -> str:
    """Return words, some of them with a capital or a comma."""
    found = []
    for _ in range(number(rng, 0, most)):
        one = word(rng)
        one = one.capitalize() if rng.random() < 0.3 else one
        found.append(one + "," if rng.random() < 0.2 else one)
    return " ".join(found)


def letters(rng: np.random.Generator, alphabet: str = "aab b(c", most: int = 9) -> str:
    """Return a string of letters of an alphabet."""
    return "".join(alphabet[int(rng.integers(len(alphabet)))] for _ in range(number(rng, 0, most)))


def grid(rng: np.random.Generator, low: int = 0, high: int = 1, square: bool = False) -> list[JSON]:
    """Return rows of equal length, at least one of each."""
    height = number(rng, 1, 4)
    width = height if square else number(rng, 1, 4)
    return [[number(rng, low, high) for _ in range(width)] for _ in range(height)]


def intervals(rng: np.random.Generator, most: int = 5) -> list[JSON]:
    """Return pairs of a start and an end behind it."""
    found: list[JSON] = []
    for _ in range(number(rng, 0, most)):
        start = number(rng, 0, 15)
        found.append([start, start + number(rng, 1, 6)])
    return found
