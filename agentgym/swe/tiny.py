"""The smallest tasks: a loop over whole numbers with one token that is not as the statement says.

A statement such as "Return the sum of the values above 3, or 0 without any." names what is made of
values, which of them count, and what comes without any. Each of these stands in one token of the
code, and one token is wrong. Whoever can set words and tokens beside each other can repair all of
them, so a policy of few weights can learn it and be tried on combinations that it never saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agentgym.swe.families.base import Arguments, numbers

SUMMARIES: Final = {
    "the sum": ("0", "out + {x}"),
    "the product": ("1", "out * {x}"),
    "the number": ("0", "out + 1"),
    "the largest": ("0", "max(out, {x})"),
    "the smallest": ("99", "min(out, {x})"),
}
"""What is made of values: what it begins with, and how it goes on."""

CONDITIONS: Final = {
    "above": ">", "below": "<", "at least": ">=", "at most": "<=", "equal to": "==",
    "other than": "!=",
}  # fmt: skip
TAKEN: Final = {"values": "{x}", "doubles of values": "2 * {x}", "squares of values": "{x} * {x}"}
NAMES: Final = ("f", "total", "measure", "result")
VARIABLES: Final = ("x", "n", "v", "k")
LIMITS: Final = ("2", "3", "4", "5", "6")


@dataclass(frozen=True, slots=True)
class Wrong:
    """A function with a fault, before it is known whether the fault shows.

    Attributes:
        family: what kind of function it is. calls: the arguments that it is tried with.
    """

    family: str
    statement: str
    function: str
    source: str
    fixed: str
    calls: tuple[Arguments, ...]


def draw_wrong(rng: np.random.Generator) -> Wrong:
    """Return a small function of which one token is wrong."""
    summary, condition, taken = (_pick(rng, [*known]) for known in (SUMMARIES, CONDITIONS, TAKEN))
    limit, name, variable = (_pick(rng, known) for known in (LIMITS, NAMES, VARIABLES))
    right = (*SUMMARIES[summary], CONDITIONS[condition], limit, TAKEN[taken])
    place = int(rng.integers(4))
    wrong = list(right)
    match place:
        case 0:  # what it begins with
            wrong[0] = _other(rng, right[0], ["0", "1", "99"])
        case 1:  # one sign or word of how it goes on
            old, new = {
                "the sum": ("+", "-*"), "the product": ("*", "+-"), "the number": ("1", "02"),
                "the largest": ("max", ("min",)), "the smallest": ("min", ("max",)),
            }[summary]  # fmt: skip
            wrong[1] = right[1].replace(old, _pick(rng, list(new)))
        case 2:
            wrong[2] = _other(rng, right[2], [*CONDITIONS.values()])
        case _:
            wrong[3] = _other(rng, right[3], LIMITS)
    return Wrong(
        f"{summary} of {taken} {condition}",
        f"Return {summary} of the {taken} {condition} {limit}, or {right[0]} without any.",
        name,
        _written(name, variable, *wrong),
        _written(name, variable, *right),
        tuple((numbers(rng, 0, 8, 6, 2),) for _ in range(10)),
    )


def _written(name: str, x: str, first: str, step: str, sign: str, limit: str, taken: str) -> str:
    step = step.format(x="y")
    return (
        f"def {name}(xs):\n"
        f"    out = {first}\n"
        f"    for {x} in xs:\n"
        f"        if {x} {sign} {limit}:\n"
        f"            y = {taken.format(x=x)}\n"
        f"            out = {step}\n"
        "    return out"
    )


def _pick(rng: np.random.Generator, known: Sequence[str]) -> str:
    return known[int(rng.integers(len(known)))]


def _other(rng: np.random.Generator, right: str, known: Sequence[str]) -> str:
    return _pick(rng, [word for word in known if word != right])
