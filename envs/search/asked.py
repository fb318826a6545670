"""Which questions of a file are asked: each text once, by split and by number of hops."""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from agentgym.envs.search.corpus import stamp_of
from agentgym.envs.search.files import question_of
from agentgym.envs.search.library import Question, Support
from agentgym.envs.search.questions import SPLITS
from agentgym.errors import ConfigError
from agentgym.jsonl import records

FILE_SPLITS: Final = (*SPLITS, "all")

_SHARES: Final = ("train",) * 8 + ("valid_seen", "valid_unseen")


def read_questions(
    file: Path, *, split: str, hops: tuple[int, ...], by_title: bool
) -> tuple[Question, ...]:
    """Return questions of a file, in an order that depends on nothing but their texts.

    Args:
        file: see `files`.
        split: one of `FILE_SPLITS`.
        hops: only questions with as many supporting passages; empty: any.
        by_title: whether a passage with the title of a supporting one will do, because others are
            searched than those that come with the questions.

    Raises:
        ConfigError: the file is not as it has to be, or has no such question.
    """
    return _chosen(file.resolve(), stamp_of(file), split, hops, by_title)


@functools.lru_cache(maxsize=32)
def _chosen(
    file: Path, stamp: tuple[int, int], split: str, hops: tuple[int, ...], by_title: bool
) -> tuple[Question, ...]:
    every = _every(file, stamp)
    found = [
        question
        for digest, question in every
        if split in ("all", _SHARES[digest[-1] % len(_SHARES)])
        and (not hops or question.hops in hops)
    ]
    if not found:
        wanted = f" of {' or '.join(map(str, hops))} hops" if hops else ""
        raise ConfigError(
            f"{file} has {len(every)} questions, but none{wanted} in the split {split!r}"
        )
    if by_title:
        found = [
            replace(question, supports=tuple(Support(s.title) for s in question.supports))
            for question in found
        ]
    return tuple(found)


@functools.lru_cache(maxsize=4)
def _every(file: Path, _stamp: tuple[int, int]) -> tuple[tuple[bytes, Question], ...]:
    """Return the questions with digests of their texts, in the order of these."""
    found: dict[bytes, Question] = {}
    for record in records(file):
        parsed = question_of(record)
        if parsed:
            text = parsed[0].text.lower().encode("utf-8", "replace")
            found.setdefault(hashlib.blake2b(text, digest_size=16).digest(), parsed[0])
    if not found:
        raise ConfigError(f"{file} holds no question")
    return tuple(sorted(found.items()))
