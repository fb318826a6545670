"""Runs functions that this package itself made up, right ones and wrong ones, and says what comes.

No sandbox is needed for code that nobody else wrote, but a mutant may loop for ever: every turn of
a loop and every call counts one tick, and the ticks are limited.
"""

import ast
import copy
import json
from collections.abc import Sequence
from typing import Any, Final, cast

from agentgym.swe.grade_function import Case
from agentgym.types import JSON

MAX_TICKS: Final = 20_000
_TICK: Final = "__tick__"


class _TooLong(BaseException):
    """The ticks are used up. No `except Exception` of a mutant catches it."""


def outcomes(source: str, function: str, calls: Sequence[tuple[JSON, ...]]) -> list[Case] | None:
    """Return calls with what they bring; None if one does not end, or brings what is no JSON."""
    left = [MAX_TICKS]

    def tick() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise _TooLong

    names: dict[str, Any] = {_TICK: tick}
    tree = ast.fix_missing_locations(_Ticking().visit(ast.parse(source)))
    try:
        exec(compile(tree, "made up", "exec"), names)
        return [_outcome(names[function], arguments) for arguments in calls]
    except (_TooLong, RecursionError, MemoryError, TypeError, ValueError):
        return None


def _outcome(function: Any, arguments: tuple[JSON, ...]) -> Case:
    try:
        value = function(*copy.deepcopy(arguments))
    except RecursionError:
        raise
    except Exception as error:  # of the function: what it raises is what it brings
        return Case(arguments, error=type(error).__name__)
    text = json.dumps(value, allow_nan=False)
    if json.loads(text) != value:  # such as a tuple, or a dictionary with numbers for keys
        raise TypeError("no JSON")
    return Case(arguments, cast("JSON", value))


class _Ticking(ast.NodeTransformer):
    """Puts a call of the tick at the beginning of every function and every turn of a loop."""

    def _ticked(self, node: Any) -> Any:
        self.generic_visit(node)
        call = ast.Call(ast.Name(_TICK, ast.Load()), [], [])
        node.body.insert(0, ast.Expr(call))
        return node

    visit_For = visit_While = visit_FunctionDef = _ticked
