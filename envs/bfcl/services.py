"""The simulated services of one conversation: calls as the package makes them, and their state."""

import ast
import copy
import decimal
import hashlib
import inspect
import json
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from agentgym.envs.bfcl.package import Entry, Package
from agentgym.types import JSON

_STATELESS: Final = "MathAPI"
_IGNORED: Final = {"_api_description", "_last_modified", "parent"}
"""Attributes that say nothing of what comes next: the second is a clock, the third leads back."""

_MOST_DIGITS: Final = 10_000
_MOST_BITS: Final = 100_000
_MISSING: Final = object()

_precision = threading.Lock()


class Services:
    """The services involved in an entry. A copy (`copy.deepcopy`) has a state of its own."""

    def __init__(self, package: Package, entry: Entry) -> None:
        """Put them into the state in which the conversation begins."""
        self._package = package
        self._instances: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        for name in entry.services:
            instance = package.service(name)()
            if name != _STATELESS:
                instance._load_scenario(
                    copy.deepcopy(entry.config.get(name, {})),
                    long_context=entry.category == "long_context",
                )
            self._instances[name] = instance
            for method, _ in inspect.getmembers(instance, inspect.ismethod):
                if not method.startswith("_"):
                    self._owners[method] = name

    def signature(self, tool: str) -> inspect.Signature:
        """Return how a tool is called."""
        return self._package.signature(self._owners[tool], tool)

    def parse(self, source: str) -> tuple[str, dict[str, JSON]]:
        """Return name and arguments of a call written in Python, such as `sort('a.txt')`."""
        call = ast.parse(source.strip(), mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        values = [ast.literal_eval(value) for value in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        names = self.signature(call.func.id).parameters
        return call.func.id, {**dict(zip(names, values, strict=False)), **named}

    def run(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool and return what it says, in the package's form, also where it raises."""
        method = getattr(self._instances[self._owners[tool]], tool)
        try:
            _refuse_what_takes_forever(tool, arguments)
            with _own_precision():
                return _as_text(method(**copy.deepcopy(dict(arguments))))
        except Exception as error:  # the code of others may raise anything
            return f"Error during execution: {error}"

    def same_as(self, other: "Services") -> bool:
        """Whether all public attributes are equal, which is what the package compares."""
        return all(
            getattr(self._instances[name], attribute, _MISSING) == value
            for name, instance in other._instances.items()
            for attribute, value in vars(instance).items()
            if not attribute.startswith("_")
        )

    def digest(self) -> str:
        """Return the identity of the whole state, private attributes and random numbers too."""
        seen: dict[int, int] = {}
        state = [(name, _plain(each, seen)) for name, each in self._instances.items()]
        return hashlib.blake2b(repr(state).encode("utf-8", "replace"), digest_size=16).hexdigest()


def _as_text(result: object) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except (TypeError, ValueError):
            return str(result)
    return str(result)


def _refuse_what_takes_forever(tool: str, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError for a power or a precision that no machine would finish."""
    for name in ("precision", "decimal_places"):
        value = arguments.get(name)
        if isinstance(value, int | float) and abs(value) > _MOST_DIGITS:
            raise ValueError(f"{name} must be at most {_MOST_DIGITS}")
    match arguments:
        case {"base": int(base), "exponent": int(exponent)} if tool == "power":
            if base.bit_length() * exponent > _MOST_BITS:
                raise ValueError(f"the power has more than {_MOST_BITS} bits")


@contextmanager
def _own_precision() -> Iterator[None]:
    """Keep the precision that a service sets for decimal and mpmath from everybody else."""
    with _precision, decimal.localcontext():
        mpmath: Any = sys.modules.get("mpmath")
        before = mpmath.mp.dps if mpmath else 0
        try:
            yield
        finally:
            if mpmath:
                mpmath.mp.dps = before


def _plain(value: object, seen: dict[int, int]) -> object:
    """Return a state as nested tuples; objects that were met before are numbers."""
    match value:
        case dict():
            return tuple((_plain(key, seen), _plain(each, seen)) for key, each in value.items())
        case list() | tuple():
            return tuple(_plain(each, seen) for each in value)
        case random.Random():
            return hash(value.getstate())
        case _ if not hasattr(value, "__dict__"):
            return repr(value)
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    held = sorted((key, each) for key, each in vars(value).items() if key not in _IGNORED)
    return type(value).__name__, tuple((key, _plain(each, seen)) for key, each in held)
