"""Mutations: what is made, that it means something else, that nothing else is touched."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.swe.functions import FAMILIES
from agentgym.swe.mutate import KINDS, mutants

MODULE = '''\
"""A module."""

import re

LIMIT = 3   # outside of functions: left alone


class Box:
    """Holds 10 things."""

    async def get(self, n: int = 2, *, strict=False) -> "int | None":
        """Return 1 of them."""
        if not  self.things:      # é: bytes are not characters
            raise ValueError(f"{n + 1} of none")
        for  place in range(1, n + 1):
            if place == 5: break
        é = await self.fetch(n , "a + b" )
        if self.quiet:
            return None
        elif n  <  1 and strict:
            continue_ = sorted( self.things )[n - 1]
            assert continue_
        return (é.strip().startswith("x")
                or n not in self.things[0:n])
'''


def of(source: str) -> dict[str, set[tuple[str, str]]]:
    """Return (before, after) by kind."""
    found: dict[str, set[tuple[str, str]]] = {}
    for mutant in mutants(source):
        found.setdefault(mutant.kind, set()).add((mutant.before, mutant.after))
    return found


def shared(one: str, other: str) -> int:
    """Return how many characters are the same from the start on."""
    pairs = zip(one, other, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def function(*lines: str) -> str:
    return "def f(a, b):\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("line", "kind", "before", "after"),
    [
        ("return a < b", "wrong comparison", "<", "<="),
        ("return (a) is not (b)", "wrong comparison", "is not", "is"),
        ("return a not  in b", "wrong comparison", "not  in", "in"),
        ("return a - b", "wrong arithmetic", "-", "+"),
        ("a //= b", "wrong arithmetic", "//", "/"),
        ("return -a", "wrong arithmetic", "-a", "a"),
        ("return a and b", "wrong logic", "and", "or"),
        ("return a if b else 0", "negated condition", "b", "not b"),
        ("return not a", "negated condition", "not a", "a"),
        ("return a[b - 1]", "off by one", "b - 1", "b"),
        ("return a[1:b]", "off by one", "1", "2"),
        ("return range(a)", "off by one", "a", "a - 1"),
        ("return a * 3", "wrong constant", "3", "4"),
        ("return True", "wrong constant", "True", "False"),
        ("return max(a, b)", "wrong call", "max", "min"),
        ("return max(a, b)", "swapped arguments", "a, b", "b, a"),
        ("return a", "wrong name", "a", "b"),
        ("return a.strip()", "dropped call", "a.strip()", "a"),
        ("return sorted(a)", "dropped call", "sorted(a)", "a"),
        ("return a", "dropped return", "return ", ""),
        ("assert a", "removed validation", "assert a", "pass"),
        ("if a: raise ValueError", "removed validation", "if a: raise ValueError", "pass"),
        ("if a: b = 1", "dropped branch", "if a: b = 1", "pass"),
    ],
)
def test_a_line_has_this_mutant(line: str, kind: str, before: str, after: str) -> None:
    assert (before, after) in of(function(line)).get(kind, set())


def test_defaults_awaits_and_jumps() -> None:
    source = "async def f(a=1, *, b=True):\n    for x in a:\n        break\n    await b\n"
    assert of(source)["wrong default"] == {("1", "0"), ("1", "2"), ("True", "False")}
    assert of(source)["dropped await"] == {("await b", "b")}
    assert of(source)["wrong jump"] == {("break", "continue")}


@pytest.mark.parametrize(
    "line",
    ['"""Holds 1 + 2."""', 'x = f"{a + 1}"', "x: range(3) = a", 'x = "a" + b', "x = a + [1]",
     "x = lambda c: c + 1", "import a", "x = a  # not < b"],
)  # fmt: skip
def test_what_is_left_alone(line: str) -> None:
    kinds = {kind for kind in of(function(line)) if kind != "wrong name"}
    assert kinds <= {"off by one"} if "[1]" in line else not kinds


def test_one_place_is_changed_and_everything_else_stays() -> None:
    made = list(mutants(MODULE))
    assert len(made) > 25
    for mutant in made:
        compile(mutant.source, "m", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(MODULE))
        assert mutant.function == "Box.get"
        same = shared(MODULE, mutant.source)
        rest = shared(MODULE[::-1], mutant.source[::-1])
        assert len(mutant.source) == len(MODULE) - len(mutant.before) + len(mutant.after)
        assert same + rest >= len(MODULE) - len(mutant.before)
        line = MODULE.split("\n")[mutant.line - 1]
        assert mutant.before.split("\n")[0] in line


def test_each_meaning_comes_once() -> None:
    trees = [ast.dump(ast.parse(mutant.source)) for mutant in mutants(MODULE)]
    assert len(trees) == len(set(trees))


@pytest.mark.parametrize("line", ["return max(b, b)", "return min(a[0], a[0])"])
def test_what_means_the_same_as_before_is_no_mutant(line: str) -> None:
    assert "swapped arguments" not in of(function(line))


def test_lines_can_be_chosen() -> None:
    line = MODULE.split("\n").index("        if self.quiet:") + 1
    chosen = list(mutants(MODULE, lines=[line]))
    assert {mutant.line for mutant in chosen} == {line}
    assert list(mutants(MODULE, lines=[])) == []


@given(st.integers(0, 2**32), st.sampled_from(FAMILIES))
def test_the_seed_draws_the_order_and_nothing_else(seed: int, family) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

    _, source, _ = family.draw(np.random.default_rng(seed))
    one, other = list(mutants(source, seed=seed)), list(mutants(source, seed=seed))
    assert one == other
    meanings = {ast.dump(ast.parse(mutant.source)) for mutant in one}
    again = {ast.dump(ast.parse(mutant.source)) for mutant in mutants(source, seed=seed + 1)}
    assert meanings == again
    assert {mutant.kind for mutant in one} <= set(KINDS)


def test_text_that_is_no_python() -> None:
    with pytest.raises(SyntaxError):
        list(mutants("def f(:\n"))
