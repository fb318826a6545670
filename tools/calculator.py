"""A calculator: arithmetic that is read as a syntax tree and never run as a program."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from agentgym.errors import ToolError, nearest

__all__ = ["calculator"]

MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 50
MAX_BITS: Final = 4096
"""Whole numbers stay exact up to this size, and are refused beyond it."""

CONSTANTS: Final[Mapping[str, float]] = {"pi": math.pi, "e": math.e}
Number = int | float

_TOKEN: Final = re.compile(
    r"[ \t\r\n]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])|[A-Za-z_][A-Za-z_0-9]*"
    r"|\*\*|//|[-+*/%(),]",
    re.ASCII,
)


def calculator(expression: str) -> str:
    """Calculate the value of an arithmetic expression, e.g. `(3 + 4) * sqrt(2) / 7 ** 2`.

    Operators: + - * / // % ** and parentheses. Functions: abs, ceil, cos, exp, floor, log (natural,
    or log(x, base)), max, min, round, sin, sqrt, tan. Constants: pi, e.

    Args:
        expression: what to calculate.
    """
    value = evaluate(expression)
    return str(value) if isinstance(value, int) else format(value, ".15g")


def evaluate(expression: str) -> Number:
    """Return the value of an expression; whole numbers are exact.

    Raises:
        ToolError: it is not understood, has no value, or would be too large.

    >>> evaluate("2 ** 10 - 1"), evaluate("7 / 2")
    (1023, 3.5)
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"the expression has {len(expression)} characters; at most {MAX_LENGTH}")
    place = 0
    while place < len(expression):
        token = _TOKEN.match(expression, place)
        if token is None:
            hint = "; a power is written **" if expression[place] == "^" else ""
            rest = expression[place : place + 10]
            raise ToolError(f"{rest!r} (at character {place + 1}) is not understood{hint}")
        place = token.end()
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        return _finite(_value(tree.body, 0))
    except SyntaxError as error:
        raise ToolError(f"the expression is not understood: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise ToolError("the expression is nested too deeply") from None
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except OverflowError:
        raise ToolError("the result is too large") from None


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ToolError(f"the expression is nested more than {MAX_DEPTH} deep")
    match node:
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return _finite(value)
        case ast.Name(name):
            if name not in CONSTANTS:
                raise ToolError(f"there is no constant {name!r}; {nearest(name, CONSTANTS)}")
            return CONSTANTS[name]
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            return _finite(_BINARY[type(op)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(ast.Name(name), args, []):
            if name not in _FUNCTIONS:
                raise ToolError(f"there is no function {name!r}; {nearest(name, _FUNCTIONS)}")
            return _finite(_apply(name, [_value(each, depth + 1) for each in args]))
        case _:
            raise ToolError(f"{ast.unparse(node)[:60]!r} is not arithmetic")


def _apply(name: str, arguments: list[Number]) -> Number:
    function, least, most = _FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        takes = f"{least}" if least == most else f"at least {least}"
        raise ToolError(f"{name} takes {takes} number(s), got {len(arguments)}")
    try:
        found: Number = function(*arguments)
    except (ValueError, TypeError):
        shown = ", ".join(format(each, ".15g") for each in arguments)
        raise ToolError(f"{name}({shown[:60]}) has no value") from None
    return found


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int):
        if base in (-1, 0, 1) and exponent >= 0:
            return 1 if exponent == 0 or (base == -1 and exponent % 2 == 0) else base
        if exponent > 0 and base.bit_length() * exponent > MAX_BITS:
            raise OverflowError
    found: Any = base**exponent
    if isinstance(found, complex):
        raise ToolError("a negative number has no power that is not whole")
    value: Number = found
    return value


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > 15:
        raise ToolError("round takes a whole number of digits, from -15 to 15")
    return round(value, digits) if digits else round(value)


def _finite(value: Number) -> Number:
    """Return a number that is neither infinite nor too large."""
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise OverflowError
    elif not math.isfinite(value):
        raise OverflowError
    return value


_UNARY: Final[Mapping[type, Callable[[Number], Number]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_BINARY: Final[Mapping[type, Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int, int]]] = {
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "cos": (math.cos, 1, 1),
    "exp": (math.exp, 1, 1),
    "floor": (math.floor, 1, 1),
    "log": (math.log, 1, 2),
    "max": (max, 2, MAX_LENGTH),
    "min": (min, 2, MAX_LENGTH),
    "round": (_round, 1, 2),
    "sin": (math.sin, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "tan": (math.tan, 1, 1),
}
"""Name -> function, and how many numbers it takes."""
