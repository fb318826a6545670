"""Questions about the built-in encyclopedias: chains of facts, asked in one sentence.

Splits never share a question, whatever the seed and the size: a digest of what is asked (the name
that the question starts from and the relations that lead on) gives it to one split, and
`valid_unseen` has encyclopedias of its own besides.
"""

import hashlib
import random
from typing import Final

from agentgym.envs.search.encyclopedia import SIZES, Encyclopedia, Value, encyclopedia
from agentgym.envs.search.library import Question, Support, mentions
from agentgym.envs.search.wording import RELATIONS

SPLITS: Final = ("train", "valid_seen", "valid_unseen")
MAX_HOPS: Final = 4

_SHARES: Final = ("train",) * 7 + ("valid_seen",) + ("valid_unseen",) * 2


def draw_question(
    seed: int, *, size: str, split: str, hops: tuple[int, ...], results: int
) -> tuple[Encyclopedia, Question]:
    """Return the encyclopedia and the question that a seed stands for.

    Args:
        seed: any whole number; equal arguments give equal questions, in any process.
        size: one of `SIZES`. split: one of `SPLITS`.
        hops: how many passages it may take; each number is as likely as the others.
        results: passages per search, among which every passage that is needed has to be when its
            name is searched for.
    """
    rng = random.Random(f"search/{seed}/{split}")
    unseen = split == "valid_unseen"
    number = rng.randrange(SIZES[size].encyclopedias[unseen])
    book = encyclopedia(size, unseen, number)
    wanted = rng.choice(hops)
    while True:
        question = _draw(rng, book, wanted, split, results, SIZES[size].variants)
        if question is not None:
            return book, question


def split_of(start: str, path: tuple[str, ...]) -> str:
    """Return the split that asks for the end of a path of relations from a name."""
    digest = hashlib.blake2b("|".join((start, *path)).encode(), digest_size=4).digest()
    return _SHARES[int.from_bytes(digest) % len(_SHARES)]


def _draw(
    rng: random.Random, book: Encyclopedia, hops: int, split: str, results: int, variants: int
) -> Question | None:
    """Draw one chain of facts; None if it will not do."""
    start = rng.randrange(len(book))
    at: Value = start
    chain: list[int] = []
    path: list[str] = []
    while len(path) < hops:
        assert isinstance(at, int)
        facts = book.entries[at].facts
        last = len(path) == hops - 1
        able = [name for name in facts if last or RELATIONS[name].phrase]
        if at in chain or not able:
            return None
        chain.append(at)
        path.append(rng.choice(able))
        at = facts[path[-1]]
    first, answer = book.entries[start], book.name_of(at)
    if split_of(first.name, tuple(path)) != split:
        return None
    for i in chain:
        passage = book.passage(i)
        early = i != chain[-1] and mentions(f"{passage.title} {passage.text}", answer)
        if early or i not in book.search(passage.title, results):
            return None
    supports = tuple(Support(*_both(book, i)) for i in chain)
    text = _ask(rng, first.called, path, variants)
    return Question(text, (answer,), supports, hops, (first.name,))


def _ask(rng: random.Random, called: str, path: list[str], variants: int) -> str:
    """Return the question for the end of a path."""
    for relation in path[:-1]:
        called = RELATIONS[relation].phrase.format(x=called)
    return rng.choice(RELATIONS[path[-1]].asked[:variants]).format(x=called)


def _both(book: Encyclopedia, number: int) -> tuple[str, str]:
    passage = book.passage(number)
    return passage.title, passage.text
