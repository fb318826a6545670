"""Reads a copy of `bfcl-eval`: entries, tools, and the simulated services, imported by nobody else.

The services are executed in namespaces of their own. What they import from their package is found
beside them; nothing of it enters `sys.modules` or `sys.path`, so that another version of it, or
none, may be installed.
"""

import ast
import builtins
import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agentgym.envs.bfcl.fetch import PACKAGE, VERSION, default_folder, is_copy
from agentgym.errors import ConfigError
from agentgym.jsonl import records
from agentgym.types import JSON

CATEGORIES: Final = ("base", "miss_func", "miss_param", "long_context")

SERVICES: Final = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api",
    "VehicleControlAPI": "vehicle_control",
}
"""The file of each service's source and of its tools."""

_SOURCES: Final = "bfcl_eval/eval_checker/multi_turn_eval/func_source_code"
_PROMPTS: Final = "bfcl_eval/constants/default_prompts.py"
_NEW_TOOLS: Final = "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC"
_TYPES: Final = {"dict": "object", "float": "number", "tuple": "array"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One conversation.

    Attributes:
        id: its name in the package. category: one of `CATEGORIES`.
        asked: what the user says in each of their turns; empty: that there are new tools.
        services: the names of those involved. config: the beginning state of each.
        truth: the calls of each user turn that are right, as Python.
        held_back: the tools that come only with a user turn.
    """

    id: str
    category: str
    asked: tuple[str, ...]
    services: tuple[str, ...]
    config: Mapping[str, Any]
    truth: tuple[tuple[str, ...], ...]
    held_back: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Described:
    """What an agent is told of a tool; `parameters` is JSON Schema."""

    description: str
    parameters: Mapping[str, JSON]


class Package:
    """A copy of the package; copies of this object are itself, since nothing in it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, ModuleType] = {}
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._tools: dict[str, dict[str, Described]] = {}

    def __deepcopy__(self, memo: object) -> "Package":
        return self

    def entries(self, category: str) -> tuple[Entry, ...]:
        """Return the entries of a category, in the package's order."""
        if category not in self._entries:
            data = self.folder / "bfcl_eval/data"
            name = f"BFCL_v4_multi_turn_{category}.json"
            right = {
                record.fields["id"]: record.fields["ground_truth"]
                for record in records(data / "possible_answer" / name)
            }
            self._entries[category] = tuple(
                _entry(category, record.fields, right[record.fields["id"]])
                for record in records(data / name)
            )
        return self._entries[category]

    def tools(self, service: str) -> dict[str, Described]:
        """Return what is said of a service's tools, by name."""
        if service not in self._tools:
            path = self.folder / f"bfcl_eval/data/multi_turn_func_doc/{SERVICES[service]}.json"
            found = self._tools[service] = {}
            for fields in (record.fields for record in records(path)):
                returned = json.dumps(_json_schema(fields["response"]))
                found[fields["name"]] = Described(
                    f"{fields['description']} Returns: {returned}",
                    _json_schema(fields["parameters"]),
                )
        return self._tools[service]

    def service(self, name: str) -> type:
        """Return the class of a service.

        Raises:
            ConfigError: it needs a package that is not installed.
        """
        found: type = getattr(self._module(SERVICES[name]), name)
        return found

    @functools.cache  # noqa: B019 - copies are few, and kept for good
    def signature(self, service: str, tool: str) -> inspect.Signature:
        """Return how a tool is called."""
        function = inspect.signature(getattr(self.service(service), tool))
        return function.replace(parameters=[*function.parameters.values()][1:])

    @functools.cached_property
    def new_tools(self) -> str:
        """What the user says when there are new tools."""
        path = self.folder / _PROMPTS
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)]) if name == _NEW_TOOLS:
                    return str(ast.literal_eval(node.value))
        raise ConfigError(f"{path} has no {_NEW_TOOLS}")

    def _module(self, stem: str) -> ModuleType:
        if stem not in self._modules:
            path = self.folder / _SOURCES / f"{stem}.py"
            module = ModuleType(f"{PACKAGE} {stem}")
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
            try:
                exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f"the service {stem} of {PACKAGE} needs the package {error.name!r}: "
                    "pip install 'agentgym[bfcl]'"
                ) from error
            self._modules[stem] = module
        return self._modules[stem]

    def _import(self, name: str, *arguments: Any, **more: Any) -> ModuleType:
        """Import for the services: their own package from the copy, all else as usual."""
        own = _SOURCES.replace("/", ".")
        if name.startswith(f"{own}."):
            return self._module(name.removeprefix(f"{own}."))
        return builtins.__import__(name, *arguments, **more)


def open_package(path: str | None) -> Package:
    """Return the copy in a folder, by default where `agentgym fetch bfcl` puts it.

    Raises:
        ConfigError: there is none, or it has another version.
    """
    folder = Path(path) if path is not None else default_folder()
    if not is_copy(folder):
        what = f"no copy of {PACKAGE} {VERSION} in {folder}"
        how = "agentgym fetch bfcl" if path is None else f"agentgym fetch bfcl --to {folder}"
        raise ConfigError(f"there is {what}; get it with: {how}")
    return _open(folder.resolve())


_open = functools.lru_cache(maxsize=4)(Package)


def _entry(category: str, fields: Mapping[str, Any], truth: Sequence[Sequence[str]]) -> Entry:
    return Entry(
        fields["id"],
        category,
        tuple("\n".join(message["content"] for message in turn) for turn in fields["question"]),
        tuple(fields["involved_classes"]),
        fields["initial_config"],
        tuple(map(tuple, truth)),
        {int(turn): tuple(names) for turn, names in fields.get("missed_function", {}).items()},
    )


def _json_schema(schema: Any) -> Any:
    """Return a schema with the types of JSON Schema instead of Python's."""
    if isinstance(schema, list):
        return [_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _json_schema(value) for key, value in schema.items()}
    if isinstance(changed.get("type"), str):
        changed["type"] = _TYPES.get(changed["type"], changed["type"])
    return changed
