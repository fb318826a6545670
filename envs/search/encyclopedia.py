"""Built-in encyclopedias: a small world of people, books, towns, ..., and a passage on each.

An encyclopedia is determined by its size, whether it is one of `valid_unseen`, and its number.
"""

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentgym.envs.search import wording as w
from agentgym.envs.search.index import Index
from agentgym.envs.search.library import Passage

Value = int | str
"""What a fact says: the number of another entry, or a word."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the encyclopedias of one size are.

    Attributes:
        entries: how many of each kind. words: how many words of each list are in use.
        encyclopedias: how many there are for train and valid_seen, and for valid_unseen.
        relations: what is told. variants: how many wordings of each sentence and question there
            are. hops: which questions are asked. results: passages per search. turns: turn limit.
        plain: whether every name is one word out of a list that all encyclopedias share.
    """

    entries: Mapping[str, int]
    words: int
    encyclopedias: tuple[int, int]
    relations: tuple[str, ...]
    variants: int
    hops: tuple[int, ...]
    results: int
    turns: int
    plain: bool = False


_FEW: Final = ("birthplace", "teacher", "employer", "author", "founder", "seat", "mayor", "produce")

SIZES: Final[Mapping[str, Size]] = {
    "tiny": Size(
        {"person": 40, "work": 24, "organisation": 12, "town": 20},
        12, (64, 16), _FEW, 1, (1, 2), 1, 6, plain=True,
    ),
    "small": Size(
        dict(zip(w.KINDS, (120, 80, 40, 60, 10, 20, 12), strict=True)),
        20, (16, 4), tuple(w.RELATIONS), 2, (1, 2, 3, 4), 2, 8,
    ),
    "full": Size(
        dict(zip(w.KINDS, (1200, 800, 280, 500, 40, 110, 50), strict=True)),
        20, (2, 1), tuple(w.RELATIONS), 3, (1, 2, 3, 4), 3, 10,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the encyclopedia has a passage on. `facts`: relation -> value."""

    kind: str
    name: str
    facts: Mapping[str, Value]

    @property
    def called(self) -> str:
        """The name as it stands in a sentence."""
        return f"the {self.name}" if self.kind == "river" else self.name


class Encyclopedia:
    """A library of made-up entries with consistent facts. Get one by `encyclopedia`."""

    def __init__(self, size: str, unseen: bool, number: int) -> None:
        self._made_from = (size, unseen, number)
        rng = random.Random(f"search/{size}/{unseen}/{number}")
        self.entries = _draw(rng, SIZES[size])
        self._passages = tuple(
            Passage(entry.name, self._tell(rng, entry, SIZES[size].variants))
            for entry in self.entries
        )
        self._index = Index.build(f"{p.title} {p.text}" for p in self._passages)

    def __reduce__(self) -> tuple[object, tuple[str, bool, int]]:
        return encyclopedia, self._made_from

    def __len__(self) -> int:
        return len(self._passages)

    @property
    def key(self) -> str:
        """What tells this encyclopedia from every other."""
        return "/".join(map(str, self._made_from))

    def passage(self, number: int) -> Passage:
        """Return one passage; entry and passage have the same number."""
        return self._passages[number]

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the numbers of at most `count` passages, the best first."""
        return self._index.search(query, count)

    def names(self, passage: int) -> tuple[str, ...]:
        """Return the names and words in a passage, its title first."""
        entry = self.entries[passage]
        return entry.name, *(self.name_of(value) for value in entry.facts.values())

    def name_of(self, value: Value) -> str:
        """Return a fact's value as text."""
        return value if isinstance(value, str) else self.entries[value].name

    def _tell(self, rng: random.Random, entry: Entry, variants: int) -> str:
        """Return the facts of an entry as sentences in random order; the first has its name."""
        told = list(entry.facts)
        rng.shuffle(told)
        pronoun = "It"
        if entry.kind == "person":
            pronoun = "He" if entry.name.split()[0] in w.MEN else "She"
        first = entry.called[0].upper() + entry.called[1:]
        return " ".join(
            rng.choice(w.RELATIONS[relation].told[:variants]).format(
                s=pronoun if i else first, v=self.name_of(entry.facts[relation])
            )
            for i, relation in enumerate(told)
        )


@functools.cache
def encyclopedia(size: str, unseen: bool, number: int) -> Encyclopedia:
    """Return one encyclopedia; a process makes each only once."""
    return Encyclopedia(size, unseen, number)


# Drawing a world ----------------------------------------------------------------------------------


def _draw(rng: random.Random, size: Size) -> tuple[Entry, ...]:
    """Draw names and facts."""
    numbers: dict[str, range] = {}
    names: list[str] = []
    for kind, count in size.entries.items():
        numbers[kind] = range(len(names), len(names) + count)
        pool = _names(kind, count, size.plain)
        names += rng.sample(pool[:count] if size.plain else pool, count)
    facts: list[dict[str, Value]] = [{} for _ in names]
    for i, relation, value in _facts(rng, numbers, size.words):
        if relation in size.relations:
            facts[i][relation] = value
    kinds = [kind for kind, some in numbers.items() for _ in some]
    return tuple(map(Entry, kinds, names, facts))


def _names(kind: str, count: int, plain: bool) -> list[str]:
    """Return the names that entries of a kind may have; no two kinds share one.

    Names of one word are at most twice as many as there are entries: so few, that a vocabulary
    learned from some encyclopedias covers the others.
    """
    match kind:
        case "person":
            return list(w.GIVEN) if plain else _pairs("{} {}", w.GIVEN, w.FAMILY)
        case "work":
            return list(w.NOUN) if plain else _pairs("The {} {}", w.ADJECTIVE, w.NOUN)
        case "organisation":
            return list(w.COINED) if plain else _pairs("{} {}", w.COINED, w.BODY)
        case "town":
            return _pairs("{}{}", w.TOWN_BEGIN, w.TOWN_END)[: 2 * count]
        case "country":
            return _pairs("{}{}", w.COUNTRY_BEGIN, w.COUNTRY_END)[: 2 * count]
        case "river":
            return _pairs("{}{}", w.RIVER_BEGIN, w.RIVER_END)[: 2 * count]
        case _:
            return _pairs("Mount {}{}", w.PEAK_BEGIN, w.PEAK_END)[: 2 * count]


def _pairs(form: str, begins: Sequence[str], ends: Sequence[str]) -> list[str]:
    """Return every combination of two parts, varied from the first on."""
    return [
        form.format(begin, ends[(i + turn) % len(ends)])
        for turn in range(len(ends))
        for i, begin in enumerate(begins)
    ]


def _facts(
    rng: random.Random, numbers: Mapping[str, range], words: int
) -> Iterator[tuple[int, str, Value]]:
    """Yield (entry, relation, value); what is said in one place holds in every other."""
    none = range(0)
    people, towns = numbers["person"], numbers["town"]
    countries, rivers = numbers.get("country", none), numbers.get("river", none)
    born = {i: rng.randint(1850, 1960) for i in people}
    for i in people:
        birthplace, residence = rng.sample(towns, 2)
        yield i, "birthplace", birthplace
        yield i, "residence", residence
        yield i, "occupation", _word(rng, "occupation", words)
        yield i, "birth year", str(born[i])
        elders = [j for j in people if 15 <= born[i] - born[j] <= 45]
        if elders:
            yield i, "teacher", rng.choice(elders)
    yield from _weddings(rng, born)
    founded: dict[int, int] = {}
    for i in numbers["organisation"]:
        founder = rng.choice(people)
        founded[i] = born[founder] + rng.randint(20, 50)
        yield i, "founder", founder
        yield i, "seat", rng.choice(towns)
        yield i, "trade", _word(rng, "goods", words)
        yield i, "founding", str(founded[i])
    for i in people:
        there = [j for j in founded if founded[j] <= born[i] + 50]
        if there:
            yield i, "employer", rng.choice(there)
    for i in numbers["work"]:
        author, dedicatee = rng.sample(people, 2)
        yield i, "author", author
        yield i, "dedicatee", dedicatee
        yield i, "setting", rng.choice(towns)
        yield i, "genre", _word(rng, "genre", words)
        yield i, "publication", str(born[author] + rng.randint(20, 60))
    for k, i in enumerate(towns):
        yield i, "mayor", rng.choice(people)
        yield i, "produce", _word(rng, "goods", words)
        if countries:
            yield i, "country", countries[k % len(countries)]
            yield i, "river", rng.choice(rivers)
    for k, i in enumerate(countries):
        yield i, "capital", rng.choice(towns[k :: len(countries)])
        yield i, "ruler", rng.choice(people)
        yield i, "currency", _word(rng, "currency", words)
    for i in rivers:
        yield i, "source", rng.choice(numbers["mountain"])
        yield i, "length", f"{rng.randint(40, 1900)} kilometres"
    for i in numbers.get("mountain", none):
        yield i, "climber", rng.choice(people)
        yield i, "height", f"{rng.randint(900, 5900)} metres"


def _weddings(rng: random.Random, born: Mapping[int, int]) -> Iterator[tuple[int, str, Value]]:
    """Marry most people to somebody of about their age."""
    by_age = sorted(born, key=lambda i: (born[i], rng.random()))
    for one, other in zip(by_age[::2], by_age[1::2], strict=False):
        if rng.random() < 0.7 and born[other] - born[one] <= 12:
            yield one, "spouse", other
            yield other, "spouse", one


def _word(rng: random.Random, what: str, words: int) -> str:
    return rng.choice(w.WORDS[what][:words])
