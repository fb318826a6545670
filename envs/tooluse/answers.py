"""Whether what an agent says has the answers that were asked for, and no other."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["IMPOSSIBLE", "Answer", "tokens_of"]

IMPOSSIBLE: Final = "impossible"
"""What is to be said where the rules forbid a part of the task."""

MAX_READ: Final = 4000
"""Characters of a message that are read."""

_TOKEN: Final = re.compile(r"\w+(?:[.,:]\d+)*")
_NUMBER: Final = re.compile(r"\d+(?:,\d{3})*(?:\.0+)?")


def tokens_of(text: str) -> list[str]:
    """Return the words and numbers of a text, in one spelling.

    >>> tokens_of("Order 7 costs 1,250.00, until 9:30.")
    ['order', '7', 'costs', '1250', 'until', '09:30']
    """
    return [_plain(token) for token in _TOKEN.findall(text[:MAX_READ].casefold())]


def is_number(token: str) -> bool:
    """Whether a token begins with a digit: amounts, ids, times."""
    return token[0].isdecimal()


@dataclass(frozen=True, slots=True)
class Answer:
    """Something that the agent has to find out and to say.

    Attributes:
        value: it, of one or more words.
        wrong: values of the same kind that must not stand beside it. For a number that is every
            other number, and these are left out here.
    """

    value: str
    wrong: frozenset[str] = frozenset()

    def judged(self, said: str, granted: Iterable[str]) -> bool | None:
        """Return whether a message gives this answer; None: it says nothing about it.

        Args:
            said: the message.
            granted: what may be said anyway, such as the words of the task and other answers.
        """
        tokens = tokens_of(said)
        line, own = f" {' '.join(tokens)} ", " ".join(tokens_of(self.value))
        free = {token for text in granted for token in tokens_of(text)}
        if is_number(own):
            wrong = any(is_number(each) and each != own and each not in free for each in tokens)
        else:
            spelled = {" ".join(tokens_of(each)) for each in self.wrong} - {own} - free
            wrong = any(f" {each} " in line for each in spelled)
        given = f" {own} " in line
        return given and not wrong if given or wrong else None


def _plain(token: str) -> str:
    if _NUMBER.fullmatch(token):
        whole = token.partition(".")[0].replace(",", "")
        return whole.lstrip("0") or "0"
    hours, colon, minutes = token.partition(":")
    return f"{hours.zfill(2)}:{minutes}" if colon and hours.isdecimal() else token
