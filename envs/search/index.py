"""BM25 over passages, by the library bm25s: the same ranks in every process."""

import functools
import importlib.util
import re
import unicodedata
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from agentgym.errors import ConfigError

FORMAT: Final = 1
"""Counts up whenever an index on disk would have to be built anew."""

MAX_QUERY_WORDS: Final = 64
"""Further words of a query are ignored."""

_WORD: Final = re.compile(r"\w+")
_COMMON: Final = frozenset(
    _WORD.findall("""
        a an and are as at be by did do does for from had has have he her his how in into is it its
        of on or she that the their there these they this to was were what when where which who
        whom whose why will with
    """)
)
"""Words that a query leaves out, unless it has no others."""


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without accents.

    >>> words_of("Château d'If, 1844")
    ['chateau', 'd', 'if', '1844']
    """
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in apart if not unicodedata.combining(c))
    return _WORD.findall(text.casefold())


def need_bm25s() -> None:
    """Say at once what to install.

    Raises:
        ConfigError: bm25s is not installed.
    """
    if importlib.util.find_spec("bm25s") is None:
        raise ConfigError(
            "the environment 'search' ranks passages with bm25s, which is not installed; "
            "install the extra with: pip install 'agentgym[search]'"
        )


class Index:
    """BM25 (Lucene's variant, k1 = 1.5, b = 0.75) over passages numbered from 0."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._vocabulary: dict[str, int] = engine.vocab_dict
        self._cached = functools.lru_cache(maxsize=4096)(self._search)

    @classmethod
    def build(cls, texts: Iterable[str], source: str = "the passages") -> "Index":
        """Index texts, of which at least one has a word.

        Raises:
            ConfigError: there are no words; names the source.
        """
        vocabulary: dict[str, int] = {}
        documents = [
            array("i", [vocabulary.setdefault(word, len(vocabulary)) for word in words_of(text)])
            for text in texts
        ]
        if not vocabulary:
            raise ConfigError(f"there is nothing to search: {source} have no words")
        engine = _bm25s().BM25()
        # Numbered here, since bm25s numbers words in the order of a set, which depends on the
        # process.
        engine.index((documents, vocabulary), create_empty_token=False, show_progress=False)
        return cls(engine)

    @classmethod
    def load(cls, folder: Path) -> "Index":
        """Return the index that `save` wrote; its arrays stay on disk until they are needed."""
        return cls(_bm25s().BM25.load(folder, mmap=True))

    def save(self, folder: Path) -> None:
        """Write the index into a folder."""
        self._engine.save(folder)

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return at most `count` passages that share a word with the query, the best first.

        Words of the query that no passage has do not count; equal scores go by number.
        """
        words = words_of(query[: 100 * MAX_QUERY_WORDS])[:MAX_QUERY_WORDS]
        words = [word for word in words if word not in _COMMON] or words
        known = sorted(self._vocabulary[word] for word in words if word in self._vocabulary)
        return self._cached(tuple(known), count) if known else ()

    def _search(self, words: tuple[int, ...], count: int) -> tuple[int, ...]:
        scores_N = self._engine.get_scores_from_ids(list(words))
        hits = np.flatnonzero(scores_N)
        # Rounded, so that the last bit of a logarithm never decides between two passages.
        scores = scores_N[hits].astype(np.float64).round(4)
        if len(hits) > count:
            good = scores >= np.partition(scores, -count)[-count]
            hits, scores = hits[good], scores[good]
        order = np.lexsort((hits, -scores))[:count]
        return tuple(int(number) for number in hits[order])


def _bm25s() -> Any:
    need_bm25s()
    import bm25s  # 60 ms, and only where something is searched

    return bm25s
