"""What is asked and what is searched: passages, libraries of them, questions."""

import re
from dataclasses import dataclass
from typing import Protocol

from agentgym.envs.search.index import words_of


@dataclass(frozen=True, slots=True)
class Passage:
    """A titled piece of text."""

    title: str
    text: str

    def shown(self) -> str:
        """Return the passage as an observation has it."""
        return f"* {self.title}: {self.text}"


class Library(Protocol):
    """Passages, numbered from 0, that can be searched."""

    @property
    def key(self) -> str:
        """What tells this library from every other."""

    def passage(self, number: int) -> Passage:
        """Return one passage."""

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the numbers of at most `count` passages, the best first."""

    def names(self, passage: int) -> tuple[str, ...] | None:
        """Return the names and values that a passage tells of, or None: not known."""


@dataclass(frozen=True, slots=True)
class Support:
    """A passage that the answer rests on. `text` None: any passage with that title will do."""

    title: str
    text: str | None = None

    def is_met_by(self, passage: Passage) -> bool:
        """Whether a passage is this one."""
        return plain(passage.title) == plain(self.title) and (
            self.text is None or passage.text == self.text
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a library.

    Attributes:
        text: as it is asked.
        answers: what counts as right; the first is the gold answer.
        supports: the passages that the answer rests on, in the order of the reasoning; empty where
            they are not known.
        hops: how many passages have to be read; None where that is not known.
        names: the names in the question, where they are known.
    """

    text: str
    answers: tuple[str, ...]
    supports: tuple[Support, ...] = ()
    hops: int | None = None
    names: tuple[str, ...] = ()


_ASIDE = re.compile(r"\s*\([^()]*\)\s*$")


def plain(text: str) -> str:
    """Return the words of a text, for comparisons that ignore case, accents and punctuation."""
    return " ".join(words_of(text))


def mentions(text: str, name: str) -> bool:
    """Whether a text names something, word for word; an aside "(1999 film)" may be missing.

    >>> mentions("Who directed Heat?", "Heat (1995 film)"), mentions("Heathrow", "Heat")
    (True, False)
    """
    inside = f" {plain(text)} "
    bare = plain(_ASIDE.sub("", name)) or plain(name)
    return bool(bare) and f" {bare} " in inside
