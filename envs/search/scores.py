"""How an answer is compared with the gold answer: exact match and the F1 of their words.

The definitions of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1), which HotpotQA
(arXiv 1809.09600), 2WikiMultihopQA (arXiv 2011.01060) and MuSiQue (arXiv 2108.00573) share: both
texts are normalised, and the best of several gold answers counts.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

_ARTICLE: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_VERDICTS: Final = frozenset({"yes", "no", "noanswer"})


def normalise(text: str) -> str:
    """Return a text in lower case, without ASCII punctuation, articles and extra white space.

    What would lose all of its words keeps them: to the papers "the" and "A" are the same answer,
    and so is saying nothing.

    >>> normalise(" The  Old-Town, Prague!")
    'oldtown prague'
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join((_ARTICLE.sub(" ", bare).split()) or text.lower().split())


def exact_match(said: str, gold: str) -> float:
    """Return 1 if the normalised texts are equal, else 0.

    >>> exact_match("the Danube.", "Danube"), exact_match("Danube river", "Danube")
    (1.0, 0.0)
    """
    return float(bool(said.strip()) and normalise(said) == normalise(gold))


def f1(said: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall of the normalised words, with multiplicity.

    With c common words (a word occurs in both as often as in the one with fewer of it), it is
    2 c / (words said + words of gold). As in HotpotQA's evaluation, an answer that is one of yes,
    no, noanswer scores 0 unless both are the same.

    >>> f1("the river Danube", "Danube")  # 1 of 2 words said, 1 of 1 asked for
    0.6666666666666666
    """
    ours, theirs = normalise(said), normalise(gold)
    if ours != theirs and (ours in _VERDICTS or theirs in _VERDICTS):
        return 0.0
    ours_count, theirs_count = Counter(ours.split()), Counter(theirs.split())
    common = (ours_count & theirs_count).total()
    return 2 * common / (ours_count.total() + theirs_count.total()) if common else 0.0


def f1_of_sets(said: str, gold: str) -> float:
    """Return the F1 of the sets of words, as the code of IGPO (arXiv 2510.14967) has it.

    There, articles are words like others, and yes and no are answers like others.

    >>> f1("New York, New York", "New York"), f1_of_sets("New York, New York", "New York")
    (0.6666666666666666, 1.0)
    >>> f1("the Danube", "Danube"), f1_of_sets("the Danube", "Danube")
    (1.0, 0.6666666666666666)
    """
    ours, theirs = _words(said), _words(gold)
    common = len(ours & theirs)
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def best(score: Callable[[str, str], float], said: str, golds: Iterable[str]) -> float:
    """Return the highest score against any of the gold answers."""
    return max(score(said, gold) for gold in golds)


SCORES: Final[Mapping[str, Callable[[str, str], float]]] = {
    "exact": exact_match,
    "f1": f1,
    "f1_of_sets": f1_of_sets,
}
"""The scores by the names that the environment's option `reward` has for them."""


def _words(text: str) -> set[str]:
    return {*text.lower().translate(_PUNCTUATION).split()} or {*text.lower().split()}
