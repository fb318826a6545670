"""What a model is told of a tool, and how its arguments are read, from signature and docstring."""

import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from agentgym.errors import ConfigError, ToolError, nearest
from agentgym.types import JSON

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
"""The types of JSON Schema."""

_SHOWN_FAULTS: Final = 8
_SECTION: Final = re.compile(r"^(Args|Arguments|Returns|Raises|Examples?|Attributes|Yields):$")
_ENTRY: Final = re.compile(r"(\w+)(?: \([^)]*\))?: (.*)")


@dataclass(frozen=True, slots=True)
class Form:
    """How one function is called: what the model is told, and a reader of arguments."""

    description: str
    parameters: Mapping[str, JSON]  #: JSON Schema of an object with the arguments
    model: type[BaseModel]
    names: tuple[str, ...]

    def __deepcopy__(self, memo: object) -> "Form":
        return self

    def read(self, arguments: Mapping[str, JSON]) -> dict[str, object]:
        """Return the values to call the function with; defaults are filled in.

        Raises:
            ToolError: the arguments do not fit; says what is wrong with each.
        """
        try:
            plain = dict(arguments) if isinstance(arguments, Mapping) else arguments
            text = json.dumps(plain, allow_nan=False)
            read = self.model.model_validate_json(text)
        except ValidationError as error:
            raise ToolError(self._faults(error)) from None
        except RecursionError:
            raise ToolError("the arguments are nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise ToolError(f"the arguments are not JSON: {_short(str(error))}") from None
        return {name: getattr(read, f"field_{k}") for k, name in enumerate(self.names)}

    def _faults(self, error: ValidationError) -> str:
        """Return what is wrong, one sentence per field."""
        said = []
        for fault in error.errors(include_url=False, include_context=False):
            place = ".".join(map(str, fault["loc"])) or "the arguments"
            match fault["type"]:
                case "missing":
                    what = "is missing"
                case "extra_forbidden" if len(fault["loc"]) == 1:
                    what = f"is no argument; {nearest(_short(place), self.names)}"
                case _:
                    message = fault["msg"][:1].lower() + fault["msg"][1:]
                    what = f"{_short(message)}, got {_short(_as_json(fault['input']))}"
            said.append(f"{_short(place)}: {what}")
        more = len(said) - _SHOWN_FAULTS
        shown = "; ".join(said[:_SHOWN_FAULTS])
        return f"wrong arguments: {shown}" + (f"; and {more} more" if more > 0 else "")


@functools.lru_cache(maxsize=1024)
def form_of(function: Callable[..., object], *, method: bool, name: str) -> Form:
    """Return how a function is called.

    Args:
        function: with typed arguments that can be given by name, and a docstring.
        method: whether its first argument is `self`.
        name: of the tool, for messages.

    Raises:
        ConfigError: no schema can be made of it; says why.
    """
    if inspect.iscoroutinefunction(function):
        raise _wrong(name, "it is async; a tool is an ordinary function")
    try:
        parameters = list(inspect.signature(function).parameters.values())[1 if method else 0 :]
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise _wrong(name, f"its type hints cannot be read: {error}") from error
    description, said = read_docstring(inspect.getdoc(function) or "")
    if not description:
        raise _wrong(name, "there is no docstring; it is what the model is told about the tool")
    fields: dict[str, Any] = {}
    for k, parameter in enumerate(parameters):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _wrong(name, f"the argument {parameter.name!r} takes any number; name each")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise _wrong(name, f"the argument {parameter.name!r} cannot be given by name")
        if parameter.name not in hints:
            raise _wrong(name, f"the argument {parameter.name!r} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        about: Any = {"alias": parameter.name}
        if parameter.name in said:
            about["description"] = said[parameter.name]
        field: Any = Field(default, **about)
        fields[f"field_{k}"] = (hints[parameter.name], field)
    try:
        # Fields have names of their own, since pydantic reserves some that an argument may have.
        config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
        model = create_model("Arguments", __config__=config, **fields)
        schema = model.model_json_schema(schema_generator=_Untitled)
    except PydanticUserError as error:
        raise _wrong(name, f"no schema can be made of its arguments: {error.message}") from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return Form(description, schema, model, tuple(p.name for p in parameters))


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its sections, and what `Args:` says of each argument.

    >>> read_docstring("Add.\\n\\nArgs:\\n    a: one number,\\n        any.\\n    b: another.")
    ('Add.', {'a': 'one number, any.', 'b': 'another.'})
    """
    kept: list[str] = []
    said: dict[str, str] = {}
    section, indent, current = "", 0, ""
    for line in inspect.cleandoc(text).split("\n"):
        started = _SECTION.match(line)
        if started:
            section, indent, current = started[1], 0, ""
        elif section and line and not line.startswith(" "):
            section = ""
            kept.append(line)
        elif not section:
            kept.append(line)
        elif section.startswith("Arg") and line.strip():
            here = len(line) - len(line.lstrip())
            indent = indent or here
            entry = _ENTRY.fullmatch(line.strip()) if here <= indent else None
            if entry:
                current = entry[1]
                said[current] = entry[2]
            elif current:
                said[current] += f" {line.strip()}"
    return "\n".join(kept).strip(), said


def parse_arguments(text: str, limit: int) -> dict[str, JSON]:
    """Read the arguments of a call from JSON text, strictly.

    Raises:
        ToolError: longer than `limit` characters, not JSON, a key twice, or not an object.
    """
    if len(text) > limit:
        raise ToolError(f"the arguments are {len(text)} characters long; at most {limit} are read")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ToolError("the arguments are nested too deeply") from None
    except ValueError as error:
        raise ToolError(f"the arguments are not JSON: {_short(str(error))}") from None
    if not isinstance(found, dict):
        raise ToolError(f"the arguments must be a JSON object, got {_short(_as_json(found))}")
    return found


def schema_problem(schema: object, where: str = "schema", root: object = None) -> str | None:
    """Return what makes something no JSON Schema, or None; keywords not listed here are let pass.

    >>> schema_problem({"type": "object", "properties": {"a": {"type": "int"}}})
    "schema.properties.a.type: 'int' is no type; did you mean 'integer'?"
    """
    root = schema if root is None else root
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, Mapping):
        return f"{where}: must be an object or a bool, got {type(schema).__name__}"
    for key, value in schema.items():
        problem = _keyword_problem(key, value, f"{where}.{key}", root)
        if problem:
            return problem
    required, properties = schema.get("required", []), schema.get("properties", {})
    missing = [name for name in required if name not in properties]
    if missing and "properties" in schema:
        return f"{where}.required: {missing[0]!r} is not among the properties"
    return None


def _keyword_problem(key: str, value: object, where: str, root: object) -> str | None:
    match key:
        case "type":
            names = value if isinstance(value, list) and value else [value]
            wrong = [name for name in names if name not in TYPES]
            return f"{where}: {wrong[0]!r} is no type; {_near(wrong[0])}" if wrong else None
        case "properties" | "$defs" | "definitions" | "patternProperties":
            if not isinstance(value, Mapping):
                return f"{where}: must be an object, got {type(value).__name__}"
            inside = [(f"{where}.{name}", each) for name, each in value.items()]
        case "anyOf" | "oneOf" | "allOf" | "prefixItems":
            if not isinstance(value, list) or not value:
                return f"{where}: must be a list with at least one schema"
            inside = [(f"{where}.{k}", each) for k, each in enumerate(value)]
        case "items" | "additionalProperties" | "not" | "contains" | "propertyNames":
            inside = [(where, value)]
        case "required":
            if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                return f"{where}: must be a list of names"
            return f"{where}: a name stands there twice" if len({*value}) < len(value) else None
        case "enum":
            return None if isinstance(value, list) and value else f"{where}: must list values"
        case "description" | "title" | "pattern" | "format":
            return None if isinstance(value, str) else f"{where}: must be a string"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return None if is_number else f"{where}: must be a number"
        case "minLength" | "maxLength" | "minItems" | "maxItems":
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            return None if whole else f"{where}: must be a whole number of at least 0"
        case "$ref":
            return _ref_problem(value, where, root)
        case _:
            return None
    problems = (schema_problem(each, place, root) for place, each in inside)
    return next((problem for problem in problems if problem), None)


def _ref_problem(value: object, where: str, root: object) -> str | None:
    if not isinstance(value, str):
        return f"{where}: must be a string"
    found = root
    for part in value.removeprefix("#").split("/")[1:] if value.startswith("#") else ():
        found = found.get(part) if isinstance(found, Mapping) else None
    return f"{where}: {value!r} leads nowhere" if found is None else None


def _near(name: object) -> str:
    return nearest(str(name), TYPES)


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _wrong(name: str, what: str) -> ConfigError:
    return ConfigError(f"{name!r} cannot be a tool: {what}")


def _once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {_short(twice)!r} stands there twice")
    return found


def _no_constant(word: str) -> JSON:
    raise ValueError(f"{word} is no number")


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return type(value).__name__


def _short(text: str, width: int = 120) -> str:
    return text if len(text) <= width else f"{text[: width - 4]} ..."
