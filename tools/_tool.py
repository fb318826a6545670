"""One tool: what a model is told of it, and what runs."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from agentgym import registry
from agentgym.errors import ConfigError
from agentgym.tools._schema import Form, form_of, schema_problem
from agentgym.types import JSON

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. Get one by `as_tool`; those of other protocols bring a schema of their own.

    Attributes:
        name: letters, digits, `_` and `-`, at most 64. description: what the model is told.
        parameters: JSON Schema of an object with the arguments.
        read: turns arguments into those of `run`; raises `ToolError` where they do not fit.
        run: does it, called by keyword. Returns text or what JSON can hold; raises `ToolError` for
            mistakes of the agent.

    Raises:
        ConfigError: a name that is none, or `parameters` is no JSON Schema.
    """

    name: str
    description: str
    parameters: Mapping[str, JSON]
    read: Callable[[Mapping[str, JSON]], Mapping[str, object]]
    run: Callable[..., object]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r:.80} cannot be the name of a tool: only letters, digits, _ and -, "
                "at most 64"
            )
        problem = schema_problem(self.parameters, "parameters")
        if not problem and self.parameters.get("type") != "object":
            problem = "parameters.type: must be 'object'"
        if problem:
            raise ConfigError(f"the tool {self.name!r} has no valid JSON Schema: {problem}")

    @property
    def schema(self) -> dict[str, JSON]:
        """The form in which chat templates and OpenAI-compatible servers take a tool."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }


def as_tool(found: object, name: str = "") -> Tool:
    """Return the tool that something is.

    Args:
        found: a function; an instance with `__call__`; a class of those that can be made without
            arguments; a name that `agentgym list tools` shows, or "package.module:Object".
        name: by default that of the function, or the class's `name`, or its own in snake case.

    Raises:
        UnknownName: no tool has that name.
        ConfigError: no schema can be made of it; says why.
    """
    if isinstance(found, Tool):
        return found
    if isinstance(found, str):
        name = name or ("" if ":" in found else found)
        found = registry.load("tools", found)
    if not callable(found):
        raise ConfigError(
            f"{found!r:.80} cannot be a tool: it is a {type(found).__name__}, and cannot be called"
        )
    name = name or name_of(found)
    form = form_for(found, name)
    return Tool(name, form.description, form.parameters, form.read, made(found, name))


def made(found: Callable[..., object], name: str) -> Callable[..., object]:
    """Return an instance of a class, and anything else as it is.

    Raises:
        ConfigError: it cannot be made without arguments.
    """
    if not isinstance(found, type):
        return found
    needed = [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise ConfigError(
            f"the tool {name!r} needs {', '.join(needed)}: "
            f"give an instance, {found.__name__}({needed[0]}=...)"
        )
    return cast("Callable[..., object]", found())


def name_of(found: object) -> str:
    """Return what a function or a class is called as a tool.

    >>> name_of(type("PriceList", (), {}))
    'price_list'
    """
    if inspect.isroutine(found):
        return found.__name__
    cls = found if isinstance(found, type) else type(found)
    chosen = getattr(cls, "name", "")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    return chosen if isinstance(chosen, str) and chosen else snake


def form_for(found: Any, name: str) -> Form:
    """Return how a function, a class or an instance is called as a tool.

    Raises:
        ConfigError: no schema can be made of it; says why.
    """
    if inspect.ismethod(found):
        return form_of(found.__func__, method=True, name=name)
    if inspect.isroutine(found):
        return form_of(found, method=False, name=name)
    cls = found if isinstance(found, type) else type(found)
    if not any("__call__" in vars(each) for each in cls.__mro__):
        raise ConfigError(f"{name!r} cannot be a tool: the class has no __call__")
    return form_of(cls.__call__, method=True, name=name)
