"""ToolRL: how well a reply's form and its tool calls agree with a reference reply."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentgym.errors import ConfigError, UnknownName
from agentgym.types import JSON, ToolCall

__all__ = ["ToolRL", "ToolRLScore"]

Match = Literal["graded", "strict", "whole"]


@dataclass(frozen=True, slots=True)
class ToolRLScore:
    """The two parts of the reward; the names of reward parts are "format" and "correctness"."""

    format: float
    correctness: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.format + self.correctness


@dataclass(frozen=True)
class ToolRL:
    """The rule reward of ToolRL (arXiv 2504.13958, section 3.3): format + correctness.

    Symbols: G the reference calls, P those of the reply, J(A, B) the Jaccard index of two multisets
    (1 if they are equal lists, else 0 if one is empty), R the `scale`.
    Names: J(names of G, names of P). Then each g of G, in order, takes the call of P with its name
    that is not taken and has the largest m = J(keys of g, keys of p) + number of parameters of g
    that p has with an equal value; a call with m = 0 is not taken.
    Formula: S = J(names) + sum of m; the most is S_max = 1 + sum over G of (1 + parameters of g).
    correctness = R (2 S / S_max - 1), in [-R, R]; R if G and P are equal lists; -R if P is unknown
    (not calls); 0 if no call is expected, whatever the reply has.
    format = 1 if the reply has exactly the blocks of the reference in their order, else 0.
    Checked against: `rlla.py` of ToolRL, commit 8cee13ec, with its switches CORRECTMAX1 (`scale=1`)
    and REFINEDREWARD (`match="strict"`). COARSEREWARD is `match="whole"`, from its definition. The
    length reward and the schedules over training steps are left out.

    Values are equal as in Python: 1 and 1.0 are, "1" is not.

    Attributes:
        scale: R; 3 in the paper.
        match: "graded" as above; "strict": J is 1 for equal lists and 0 otherwise, order included;
            "whole": R for equal lists of calls, -R for all others.

    >>> reward = ToolRL()
    >>> wanted = [ToolCall("weather", {"city": "Oslo", "days": 2})]
    >>> reward.correctness(wanted, wanted)
    3.0
    >>> reward.correctness(wanted, [ToolCall("weather", {"city": "Oslo"})])  # S = 1 + 1/2 + 1 of 4
    0.75
    """

    scale: float = 3.0
    match: Match = "graded"

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ConfigError(f"the scale of ToolRL must be above 0, got {self.scale!r}")
        if self.match not in ("graded", "strict", "whole"):
            raise UnknownName("match of ToolRL", self.match, ["graded", "strict", "whole"])

    def correctness(self, expected: Sequence[ToolCall], made: Sequence[ToolCall] | None) -> float:
        """Return how well calls agree with those that are expected, in [-scale, scale].

        Args:
            expected: the reference calls; none: 0 whatever was made.
            made: the calls of the reply; None: what it has cannot be read as calls.
        """
        if not expected:
            return 0.0
        if made is None:
            return -self.scale
        wanted = [(call.name, dict(call.arguments)) for call in expected]
        given = [(call.name, dict(call.arguments)) for call in made]
        if wanted == given:
            return self.scale
        if self.match == "whole":
            return -self.scale
        score = self._agreement([name for name, _ in wanted], [name for name, _ in given])
        most, taken = 1.0, set[int]()
        for name, parameters in wanted:
            most += 1.0 + len(parameters)
            best, best_at = 0.0, -1
            for at, (other, found) in enumerate(given):
                if other == name and at not in taken:
                    value = self._agreement(list(parameters), list(found)) + sum(
                        key in found and found[key] == value for key, value in parameters.items()
                    )
                    if value > best:
                        best, best_at = value, at
            if best_at >= 0:
                taken.add(best_at)
                score += best
        return 2 * self.scale * score / most - self.scale

    def score(self, reply: str, reference: str) -> ToolRLScore:
        """Return the reward of a reply in the paper's own form of text.

        A reply is `<think>...</think>` and then, on lines of their own, `<tool_call>`, one JSON
        object with name and parameters on each line, `</tool_call>`, and/or
        `<response>...</response>`.

        Raises:
            ConfigError: the reference has calls that cannot be read.
        """
        expected: Sequence[ToolCall] | None = ()
        if "<tool_call>" in reference:
            expected = calls_of_text(reference)
        if expected is None:
            raise ConfigError(f"the calls of a reference reply cannot be read: {reference!r:.200}")
        made = calls_of_text(reply) if expected else None
        return ToolRLScore(format_of_text(reply, reference), self.correctness(expected, made))

    def _agreement(self, one: list[str], other: list[str]) -> float:
        """Return the Jaccard index of two lists as multisets, or whether they are equal."""
        if one == other:
            return 1.0
        if self.match == "strict" or not one or not other:
            return 0.0
        both = (Counter(one) & Counter(other)).total()
        return both / (len(one) + len(other) - both)


# The paper's form of text -----------------------------------------------------------------------

_BLOCKS = {
    "tool_call": "\n<tool_call>\n.*?\n</tool_call>",
    "response": "\n<response>.*?</response>",
}


def format_of_text(reply: str, reference: str) -> float:
    """Return 1.0 if a reply has exactly the blocks of the reference, each once, else 0.0."""
    names = [name for name in _BLOCKS if f"<{name}>" in reference]
    pattern = "^<think>.*?</think>" + "".join(_BLOCKS[name] for name in names) + "$"
    once = all(reply.count(f"<{name}>") == 1 == reply.count(f"</{name}>") for name in names)
    return float(once and re.search(pattern, reply, re.DOTALL) is not None)


def calls_of_text(text: str) -> list[ToolCall] | None:
    """Return the calls between the first tags, one JSON object per line; None: there are none."""
    if "<tool_call>" not in text or "</tool_call>" not in text:
        return None
    inside = text.split("<tool_call>")[1].split("</tool_call>")[0].strip()
    calls = []
    for line in inside.split("\n"):
        try:
            call: Any = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(call, dict):
            return None
        name, parameters = call.get("name"), call.get("parameters")
        if not isinstance(name, str) or not isinstance(parameters, Mapping):
            return None
        arguments: Mapping[str, JSON] = parameters
        calls.append(ToolCall(name, arguments))
    return calls
