"""`check_tool`: whether a schema can be made of a tool, and whether its calls can be repeated.

A tool is a function, or a class with `__call__`; its name, docstring and typed arguments are the
schema. Which calls are harmless only its author knows: they are given to the kit.
"""

import inspect
import json
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym import registry
from agentgym.errors import ConfigError
from agentgym.testing.report import Failed, Named, NotApplicable, Report, run_checks
from agentgym.tools._schema import schema_problem
from agentgym.tools._tool import form_for, name_of
from agentgym.tools.base import ToolResult, Toolset
from agentgym.types import JSON

Calls = Sequence[Mapping[str, JSON]]


@dataclass(frozen=True, slots=True)
class _Subject:
    found: Any
    name: str
    calls: Calls


def check_tool(tool: str | Callable[..., object], *, calls: Calls = ()) -> Report:
    """Check the form of a tool, and play some calls of it.

    Args:
        tool: a name, a function, a class or an instance.
        calls: arguments of calls that must succeed, one after the other. They are played twice,
            where the tool is a class each time on a new instance, and must bring the same.

    Raises:
        UserError: no such tool.
    """
    found: Any = registry.load("tools", tool) if isinstance(tool, str) else tool
    name = tool if isinstance(tool, str) else name_of(tool)
    return run_checks("tool", name, _Subject(found, name, calls), TOOL_CHECKS)


def is_a_function(subject: _Subject) -> None:
    """It can be called by keyword."""
    found = subject.found
    cls = found if isinstance(found, type) else type(found)
    if not any("__call__" in vars(each) for each in cls.__mro__):
        kind = f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
        raise Failed(f"a tool is a function or has __call__, got {kind}")
    for name, parameter in _parameters(found).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise Failed(f"the argument {name!r} takes any number; name and type each argument")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise Failed(f"the argument {name!r} cannot be given by name")


def has_a_docstring(subject: _Subject) -> None:
    """The model reads the docstring."""
    if not (inspect.getdoc(_function(subject.found)) or "").strip():
        raise Failed("there is no docstring; it is what the model is told about the tool")


def has_typed_arguments(subject: _Subject) -> None:
    """Every argument and the result have a type."""
    try:
        hints = typing.get_type_hints(_function(subject.found))
    except (NameError, TypeError) as error:
        raise Failed(f"its type hints cannot be read: {error}") from error
    untyped = [name for name in _parameters(subject.found) if name not in hints]
    if untyped:
        raise Failed(f"the argument {untyped[0]!r} has no type; types become the schema")
    if "return" not in hints:
        raise Failed("the result has no type; a tool returns a str")
    if hints["return"] in (bytes, bytearray, memoryview):
        raise Failed("it returns bytes; a tool returns text or what JSON can hold")


def has_json_defaults(subject: _Subject) -> None:
    """Defaults can be written into a schema."""
    for name, parameter in _parameters(subject.found).items():
        if parameter.default is parameter.empty:
            continue
        try:
            json.dumps(parameter.default, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Failed(f"the default of {name!r} is not JSON: {error}") from error


def has_a_schema(subject: _Subject) -> None:
    """Name, docstring and types make a valid JSON Schema."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydantic warns of is found by the other checks
        try:
            form = form_for(subject.found, subject.name)
        except ConfigError as error:
            raise Failed(str(error)) from error
    problem = schema_problem(form.parameters)
    if problem:
        raise Failed(problem)


def repeats_its_calls(subject: _Subject) -> None:
    """The calls succeed, and bring the same again."""
    if not subject.calls:
        raise NotApplicable("no calls to try were given: check_tool(..., calls=[{...}])")
    try:
        first, second = _play(subject), _play(subject)
    except ConfigError as error:
        raise NotApplicable(str(error)) from error
    for arguments, result, again in zip(subject.calls, first, second, strict=True):
        shown = f"{subject.name}({json.dumps(arguments)[:80]})"
        if not result.ok:
            raise Failed(f"{shown}: {result.status}: {result.text[:200]}")
        repeated = isinstance(subject.found, type) or inspect.isroutine(subject.found)
        if repeated and result != again:
            raise Failed(f"{shown} brings {result.text[:80]!r}, and then {again.text[:80]!r}")


TOOL_CHECKS: tuple[Named[_Subject], ...] = (
    Named("is a function", is_a_function, gate=True),
    Named("has a docstring", has_a_docstring, gate=True),
    Named("has typed arguments", has_typed_arguments, gate=True),
    Named("has JSON defaults", has_json_defaults, gate=True),
    Named("has a valid schema", has_a_schema, gate=True),
    Named("repeats its calls", repeats_its_calls),
)


def _play(subject: _Subject) -> list[ToolResult]:
    tools = Toolset({subject.name: subject.found})
    return [tools.call(subject.name, arguments) for arguments in subject.calls]


def _function(found: Any) -> Any:
    if inspect.isroutine(found):
        return found
    return (found if isinstance(found, type) else type(found)).__call__


def _parameters(found: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a call, without `self`."""
    parameters = dict(inspect.signature(_function(found)).parameters)
    if not inspect.isroutine(found):
        del parameters[next(iter(parameters))]
    return parameters
