"""JSON Schemas of arguments and results: what they admit, and values that fit them.

A schema is checked with the package jsonschema. Objects are closed unless they say otherwise: a key
that is not among the properties of an object is a fault, for arguments as for results. References
lead within the schema only; nothing is fetched.
"""

import functools
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from typing import Any, Final

from agentgym.errors import ConfigError, nearest
from agentgym.tools._schema import schema_problem
from agentgym.types import JSON

_SHOWN: Final = 5  #: faults of one value
_WIDTH: Final = 160  #: characters of one fault
_DEEPEST: Final = 12  #: levels of a made-up value
_DATES: Final = {
    "date": lambda n: f"2031-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}",
    "time": lambda n: f"{8 + n % 12:02}:{15 * (n // 12 % 4):02}:00Z",
    "date-time": lambda n: f"2031-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}T{8 + n % 12:02}:00:00Z",
    "email": lambda n: f"user{n}@example.com",
    "uri": lambda n: f"https://example.com/{n}",
}


def need_jsonschema() -> None:
    """Check that jsonschema can be imported, without doing so.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("jsonschema") is None:
        raise ConfigError("simtools needs jsonschema: pip install 'agentgym[simtools]'")


def fault_in_schema(schema: object, where: str) -> str | None:
    """Return what makes something no JSON Schema that can be used here, or None."""
    problem = schema_problem(schema, where)
    if problem:
        return problem
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        text = dumps(schema)  # type: ignore[arg-type]
    except jsonschema.SchemaError as error:
        place = ".".join([where, *map(str, error.absolute_path)])
        return f"{place}: {_cut(error.message)}"
    except (TypeError, ValueError, RecursionError) as error:
        return f"{where}: {_cut(str(error))}"
    return _stray_reference(json.loads(text), where)


class Form:
    """One schema, ready to check values. Immutable; copies are itself."""

    def __init__(self, schema: Mapping[str, JSON]) -> None:
        """Take a schema that `fault_in_schema` has passed."""
        import jsonschema
        import referencing

        self.schema = schema
        closed: Any = _closed(schema)
        self._validator = jsonschema.Draft202012Validator(
            closed, registry=referencing.Registry(), format_checker=None
        )
        properties: Any = schema.get("properties", {})
        self._names = tuple(properties)

    def __deepcopy__(self, memo: object) -> "Form":
        return self

    def __reduce__(self) -> tuple[type["Form"], tuple[Mapping[str, JSON]]]:
        return Form, (self.schema,)

    def fault(self, value: JSON) -> str | None:
        """Return what keeps a value from fitting, in one line, or None if it fits."""
        try:
            if self._validator.is_valid(value):
                return None
            errors = list(self._validator.iter_errors(value))
        except RecursionError:
            return "it is nested too deeply"
        said = []
        for error in sorted(errors, key=lambda each: [str(part) for part in each.absolute_path]):
            place = ".".join(map(str, error.absolute_path))
            if error.validator == "additionalProperties" and not place and self._names:
                extra = [key for key in error.instance if key not in self._names]
                said += [f"{_cut(repr(k))} is not known; {nearest(k, self._names)}" for k in extra]
            else:
                said.append(_cut(f"{place}: {error.message}" if place else error.message))
        more = len(said) - _SHOWN
        return "; ".join(said[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def made_up(schema: object, name: str, key: str, root: object = None, depth: int = 0) -> JSON:
    """Return a value that fits a schema, derived from a key alone: equal keys, equal values.

    Strings without `enum`, `examples` or a known `format` are the name and a number ("city 3");
    numbers lie within their bounds, by default 1 to 99. Keywords that are not of this kind
    (`pattern`, `not`, ...) are not looked at, so whoever needs a value that fits checks it.

    Args:
        schema: of the value. name: what the value is called; goes into strings.
        key: what the value is derived from. root: where references lead; by default the schema.
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return f"{_words(name)} {1 + number(9, key)}"
    if "$ref" in schema:
        return made_up(_found(root, str(schema["$ref"])), name, key, root, depth + 1)
    if "const" in schema:
        return schema["const"]  # type: ignore[no-any-return]
    for listing in ("enum", "examples"):
        values = schema.get(listing)
        if values:
            return values[number(len(values), key)]  # type: ignore[no-any-return]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            options = [o for o in schema[choice] if o != {"type": "null"}] or schema[choice]
            return made_up(options[0], name, key, root, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object":
            return {
                each: made_up(inner, each, f"{key}/{each}", root, depth + 1)
                for each, inner in schema.get("properties", {}).items()
            }
        case "array":
            least = schema.get("minItems", 1)
            most = max(least, min(schema.get("maxItems", 3), least + 2))
            count = least + number(most - least + 1, f"{key}#")
            inner = schema.get("items", {})
            one = name.removesuffix("s")
            return [made_up(inner, one, f"{key}/{k}", root, depth + 1) for k in range(count)]
        case "integer" | "number":
            return _number(schema, key, whole=kind == "integer")
        case "boolean":
            return number(2, key) == 1
        case "null":
            return None
        case "string" if schema.get("format") in _DATES:
            return _DATES[schema["format"]](number(330, key))
    if "properties" in schema:
        return made_up({**schema, "type": "object"}, name, key, root, depth + 1)
    text = f"{_words(name)} {1 + number(9, key)}".ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength")]


def number(below: int, key: str) -> int:
    """Return a number from 0 to `below` - 1 that is derived from a key."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % below


def dumps(value: JSON) -> str:
    """Return the one JSON text of a value: sorted keys, ASCII.

    Raises:
        ValueError: NaN or an infinity. RecursionError: nested too deeply.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))


def parameters_of(schema: Mapping[str, JSON]) -> Mapping[str, Any]:
    """Return the schemas of the properties of an object's schema."""
    properties: Any = schema.get("properties", {})
    return properties if isinstance(properties, Mapping) else {}


def _number(schema: Mapping[str, Any], key: str, *, whole: bool) -> JSON:
    step = schema.get("multipleOf", 1 if whole else 0.5)
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None:
        least = 1 if most is None or most >= 1 else most - 98
    if most is None:
        most = max(99, least + 98)
    first, last = -(-least // step), most // step  # in steps
    first += schema.get("exclusiveMinimum") == first * step
    last -= schema.get("exclusiveMaximum") == last * step
    value = (first + number(max(0, int(last - first)) + 1, key)) * step
    return int(value) if whole else float(value)


def _words(name: str) -> str:
    return name.removesuffix("_id").replace("_", " ").strip() or "value"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 4]} ..."


def _found(root: object, reference: str) -> object:
    found = root
    for part in reference.removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _closed(schema: object) -> object:
    """Return a schema whose objects with properties admit no others, unless they say so."""
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    for key in ("properties", "$defs", "definitions"):
        if isinstance(made.get(key), Mapping):
            made[key] = {name: _closed(inner) for name, inner in made[key].items()}
    if "items" in made:
        made["items"] = _closed(made["items"])
    open_keys = {"additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref"}
    if "properties" in made and not open_keys & made.keys():
        made["additionalProperties"] = False
    return made


def _stray_reference(schema: object, where: str) -> str | None:
    """Return what is wrong with a reference that leads out of the schema, or None."""
    inner: list[tuple[str, object]] = []
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str) and not schema["$ref"].startswith("#"):
            return f"{where}.$ref: {_cut(repr(schema['$ref']))} leads out of the schema"
        inner = [(f"{where}.{key}", value) for key, value in schema.items()]
    elif isinstance(schema, list):
        inner = [(f"{where}.{k}", value) for k, value in enumerate(schema)]
    problems = (_stray_reference(value, place) for place, value in inner)
    return next((problem for problem in problems if problem), None)


@functools.lru_cache(maxsize=4096)
def form_of(text: str) -> Form:
    """Return the form of a schema given as JSON text; equal texts share one."""
    return Form(json.loads(text))
