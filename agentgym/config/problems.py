"""What is wrong with a configuration, in words for the person who wrote it."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import pydantic

from agentgym.config.layers import Layer, Tree
from agentgym.config.section import Section, describe, field_section
from agentgym.errors import ConfigError, UnknownName, UserError, nearest

S = TypeVar("S", bound=Section)


def validate(model: type[S], tree: Tree, layers: Sequence[Layer], prefix: tuple[str, ...]) -> S:
    """Return the checked configuration, or raise one error that names everything wrong with it."""
    try:
        return model.model_validate(tree)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False)
        found = [_problem(model, problem, layers, prefix) for problem in problems]
        if len(found) == 1:
            raise found[0] from None
        raise ConfigError("\n".join(str(each) for each in found)) from None


def _problem(
    model: type[Section], problem: Any, layers: Sequence[Layer], prefix: tuple[str, ...]
) -> UserError:
    """Return the error to raise for one entry of pydantic's list."""
    location = tuple(part for part in problem["loc"] if not _is_tag(part))
    key = ".".join(map(str, (*prefix, *location)))
    origin = _origin(location, layers)
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _candidates(model, location, prefix)
        return UnknownName("key", key, known, origin)
    if kind == "missing":
        if isinstance(location[-1], int):
            problem = {**problem, "type": "too_short", "ctx": {"min_length": location[-1] + 1}}
            return _problem(model, {**problem, "loc": location[:-1]}, layers, prefix)
        return ConfigError(f"{key} is missing{' ' * bool(origin)}{origin}; give {key}=...")
    came_from = f" ({origin})" if origin else ""
    raised = context.get("error")
    if isinstance(raised, Exception) and not location:  # a check across the keys of the section
        return ConfigError(f"{key or 'the configuration'}{came_from}: {raised}")
    expected = str(raised) if isinstance(raised, Exception) else _expected(problem)
    return ConfigError(f"{key} = {problem['input']!r:.200}{came_from}: {expected}")


def _expected(problem: Any) -> str:
    context, given = problem.get("ctx", {}), problem["input"]
    match problem["type"]:
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'", context["expected"])
            hint = nearest(given, choices) if isinstance(given, str) and choices else ""
            hint = f"; {hint}" if hint.startswith("did you mean") else ""
            return f"must be {context['expected']}{hint}"
        case "int_type" | "int_from_float":
            return f"must be a whole number, got {_kind(given)}"
        case "float_type":
            return f"must be a number, got {_kind(given)}"
        case "bool_type":
            return f"must be true or false, got {_kind(given)}"
        case "string_type":
            return f"must be a string, got {_kind(given)}"
        case "tuple_type" | "list_type":
            return f"must be a list, got {_kind(given)}"
        case "mapping_type" | "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a table, got {_kind(given)}"
        case "too_short":
            return f"must have at least {context['min_length']} items"
        case "too_long":
            return f"must have at most {context['max_length']} items"
        case "finite_number":
            return "must be finite"
    return str(problem["msg"]).replace("Input should be", "must be").replace("Value error, ", "")


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
    return type(value).__name__


def _is_tag(part: object) -> bool:
    """Whether pydantic named a member of a union here instead of a key."""
    return isinstance(part, str) and bool(re.search(r"[\[(]|^(str|int|float|bool|none)$", part))


def _origin(location: tuple[Any, ...], layers: Sequence[Layer]) -> str:
    """Return the latest layer that says something at a location, or above it."""
    for depth in range(len(location), 0, -1):
        for layer in reversed(layers):
            branch: Any = layer.tree
            for part in location[:depth]:
                branch = branch.get(part) if isinstance(branch, dict) else None
            if branch is not None:
                return layer.origin
    return next((layer.origin for layer in reversed(layers[:-1])), "")


def _candidates(
    model: type[Section], location: tuple[Any, ...], prefix: tuple[str, ...]
) -> list[str]:
    """Return the dotted keys to choose the nearest from."""
    start = ".".join(prefix) + "." if prefix else ""
    everywhere = [f"{start}{key}" for key, *_ in describe(model)]
    same_name = [key for key in everywhere if key.rpartition(".")[2] == location[-1]]
    section: type[Section] | None = model
    for part in location[:-1]:
        if isinstance(part, str):
            section = field_section(section, part)
    inside = start + "".join(f"{part}." for part in location[:-1])
    here = [f"{inside}{name}" for name in (section.model_fields if section else ())]
    names = list(section.model_fields) if section else []
    close = difflib.get_close_matches(str(location[-1]), names, n=2, cutoff=0.6)
    return [inside + name for name in close] or same_name or here or everywhere
