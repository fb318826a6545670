"""The names that made-up worlds are filled with, by split, and chance drawn from one generator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

T = TypeVar("T")

TINY: Final = 6
"""Names of a kind that the size "tiny" uses, the same in every split."""

POOLS: Final[Mapping[str, tuple[str, str]]] = {
    "person": (
        "Mia Tom Ana Ben Eva Leo Ida Max Nora Paul Rosa Omar Lena Hugo Vera Ivan Cora Emil Ruth "
        "Jack Mina Karl Olga Luis",
        "Zoe Finn Alma Igor Tess Amir Lotte Bruno Dora Viktor Salma Gus",
    ),
    "item": (
        "tea rice soap lamp rope salt chair clock candle basket kettle carpet mirror pillow "
        "ladder hammer teapot blanket vase bench",
        "stool broom lantern bucket flute compass kite drum anvil saddle",
    ),
    "city": (
        "Oslo Rome Bern Kyiv Lima Cairo Lyon Porto Turin Ghent Delhi Quito",
        "Riga Accra Graz Osaka Malmo Davao Cork Basel",
    ),
    "topic": (
        "budget launch hiring travel garden audit design safety survey archive contract payroll "
        "website warehouse training newsletter",
        "merger printer brochure harbour museum insurance orchard fleet",
    ),
    "folder": (
        "photos letters reports music plans bills recipes maps drafts backup notes sketches",
        "essays scans invoices logs slides posters",
    ),
    "file": (
        "alpha birch cedar delta ember frost grove heron inlet jade koala lotus maple nectar olive "
        "pearl quartz raven slate tulip umber violet willow zebra",
        "acorn bison coral dune falcon ginger hazel ivory jasper lilac mango onyx",
    ),
    "payee": (
        "Waterworks Library Bakery Gymnasium Railway Florist Cinema Pharmacy Garage Optician",
        "Brewery Nursery Theatre Plumber Ferry Tailor",
    ),
}
"""Kind to the names of training and those that only `valid_unseen` uses. No name has a space."""

SPLITS: Final = ("train", "valid_seen", "valid_unseen")


class Dice:
    """What is drawn, all of it from one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` up to and with `high`."""
        return int(self._rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return float(self._rng.random()) < probability

    def one(self, of: Sequence[T]) -> T:
        """Return one of some things."""
        return of[int(self._rng.integers(len(of)))]

    def some(self, of: Sequence[T], count: int) -> list[T]:
        """Return different ones, in random order."""
        return [of[int(k)] for k in self._rng.permutation(len(of))[:count]]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a world is to be filled and a task to be worded.

    Attributes:
        size: "tiny", "small" or "full". unseen: take names and wordings that training never has.
        dice: what is drawn.
    """

    size: str
    unseen: bool
    dice: Dice

    def pool(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        seen, unseen = POOLS[kind]
        if self.size == "tiny":
            return seen.split()[:TINY]
        return (unseen if self.unseen else seen).split()

    def names(self, kind: str, count: int) -> list[str]:
        """Return different names of a kind, as many as there are at most."""
        return self.dice.some(self.pool(kind), count)

    def ids(self, what: str, count: int) -> list[str]:
        """Return different ids such as "order 7", in random order."""
        low, high = {"tiny": (1, 9), "small": (10, 99), "full": (100, 999)}[self.size]
        return [f"{what} {number}" for number in self.dice.some(range(low, high + 1), count)]

    def amount(self, low: int, high: int) -> int:
        """Return an amount within bounds; in the size "tiny" from 11 to 19."""
        return self.dice.between(*((11, 19) if self.size == "tiny" else (low, high)))

    def number(self, tiny: int, small: int, full: int) -> int:
        """Return what belongs to the size."""
        return {"tiny": tiny, "small": small, "full": full}[self.size]

    def words(self, seen: Sequence[str], unseen: Sequence[str], **values: object) -> list[str]:
        """Return the pieces of a request, of one of several wordings with `values` filled in.

        Args:
            seen: the wordings of training, the shortest first; `|` separates the pieces.
            unseen: those of `valid_unseen`. values: what stands in braces in them.
        """
        if self.size == "tiny":
            text = self.dice.one(seen[:1])
        else:
            text = self.dice.one(unseen if self.unseen else seen)
        return [piece.strip().format(**values) for piece in text.split("|")]
