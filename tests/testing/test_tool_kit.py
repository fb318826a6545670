"""The conformance kit for tools: what a schema can be made of."""

import re
from typing import Any

import pytest

from agentgym.errors import UnknownName
from agentgym.testing import check_tool


def add(a: int, b: int = 1) -> str:
    """Add two numbers."""
    return str(a + b)


def silent(a: int) -> str:
    return str(a)


def untyped(a) -> str:  # type: ignore[no-untyped-def]
    """Bad."""
    return str(a)


def open_ended(*numbers: int) -> str:
    """Bad."""
    return str(numbers)


def positional(a: int, /) -> str:
    """Bad."""
    return str(a)


def mystery(a: "Unknown") -> str:  # type: ignore[name-defined]  # noqa: F821
    """Bad."""
    return str(a)


def wordless(a: int):  # type: ignore[no-untyped-def]
    """Bad."""


def odd_default(a: Any = frozenset()) -> str:
    """Bad."""
    return str(a)


class Uncalled:
    """Bad."""


def raw(a: int) -> bytes:
    """Bad."""
    return bytes(a)


def opaque(a: re.Match) -> str:  # type: ignore[type-arg]
    """Bad."""
    return str(a)


async def later(a: int) -> str:
    """Bad."""
    return str(a)


class Counter:
    """Counts."""

    ever = 0

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, step: int = 1, forever: bool = False) -> str:
        """Count on."""
        self.count += step
        Counter.ever += step
        return str(Counter.ever if forever else self.count)


def test_classes_are_played_on_new_instances() -> None:
    assert check_tool(Counter, calls=[{}, {"step": 2}]).raise_on_failure().counts() == "6 passed"
    (failed,) = check_tool(Counter, calls=[{"forever": True}]).failed
    assert "and then" in failed.detail


def test_calls_must_succeed() -> None:
    (failed,) = check_tool(add, calls=[{"a": "one"}]).failed
    assert "wrong arguments: a: input should be a valid integer" in failed.detail


def test_a_good_tool_passes() -> None:
    assert check_tool(add).raise_on_failure().counts() == "5 passed, 1 not applicable"
    calls = [{"a": 1}, {"a": 1, "b": 2}]
    assert check_tool(add, calls=calls).raise_on_failure().counts() == "6 passed"


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (3, "a tool is a function or has __call__, got int"),
        (Uncalled, "a tool is a function or has __call__, got the class Uncalled"),
        (raw, "it returns bytes"),
        (opaque, "no schema can be made of its arguments"),
        (later, "it is async"),
        (silent, "no docstring"),
        (untyped, "the argument 'a' has no type"),
        (open_ended, "the argument 'numbers' takes any number"),
        (positional, "the argument 'a' cannot be given by name"),
        (mystery, "type hints cannot be read: name 'Unknown' is not defined"),
        (wordless, "the result has no type"),
        (odd_default, "the default of 'a' is not JSON"),
    ],
)
def test_faults_are_named(tool: Any, message: str) -> None:
    (failed,) = check_tool(tool).failed
    assert re.search(message, failed.detail)


def test_unknown_tools() -> None:
    with pytest.raises(UnknownName, match="there is no tool 'hammer'"):
        check_tool("hammer")
