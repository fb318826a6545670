"""Trajectories and groups as JSON, and back, without loss.

The form follows the dataclasses of `agentgym.types`: one object per instance, keyed by field;
fields that have their default are left out. A field that is added with a default later thus reads
from older records; any other change counts `SCHEMA` up.

Floats are written as Python's shortest repr, which reads back to the same bits; NaN and infinity
are refused. Mappings read back as dict, and tuples in free JSON values as lists.
"""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar

from agentgym.errors import RecordError

SCHEMA = 1
"""Version of the form; part of every line of a log."""

T = TypeVar("T")
Tree = dict[str, Any]
Convert = Callable[[Any], Any]


def encode(value: object) -> Tree:
    """Return an instance of one of the types of `agentgym.types` as a JSON object.

    Raises:
        RecordError: a mapping in it has a key that is not a string, or is nested too deeply.
    """
    hint: Any = type(value)
    try:
        encoded: Tree = _codec(hint).encode(value)
    except RecursionError as error:
        raise RecordError(f"a value in the {hint.__name__} is nested too deeply") from error
    return encoded


def decode(cls: type[T], data: object) -> T:
    """Return the instance that `encode` made `data` from.

    Raises:
        RecordError: `data` is not such an object; names the field.
    """
    hint: Any = cls
    decoded: T = _codec(hint).decode(data)
    return decoded


def to_bytes(data: Mapping[str, Any]) -> bytes:
    """Return one line of JSON in UTF-8, without the line feed.

    Lone surrogates are escaped. (Only the first of a pair that Python holds as two characters is
    not: the pair would read back as one character, so its bytes are kept instead.)

    Raises:
        RecordError: a number that is not finite, or a value that JSON does not have; says where.
    """
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise RecordError("a value is nested too deeply") from error
    except (ValueError, TypeError) as error:
        raise RecordError(_complaint(data) or f"cannot be written as JSON: {error}") from error
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return _LONE.sub(lambda m: f"\\u{ord(m[0]):04x}", text).encode("utf-8", "surrogatepass")


def from_bytes(line: bytes) -> Tree:
    """Return the JSON object of one line.

    Raises:
        RecordError: it is not a JSON object.
    """
    try:
        data = json.loads(line.decode("utf-8", "surrogatepass"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise RecordError(f"not a JSON object but {type(data).__name__}")
    return data


_LONE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|[\udc00-\udfff]")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _complaint(value: Any, path: str = "") -> str:
    """Return where and why a value is not JSON, or nothing if it is."""
    match value:
        case None | bool() | int() | str():
            return ""
        case float():
            return (
                "" if math.isfinite(value) else f"{path} is {value}; only finite numbers are kept"
            )
        case dict():
            below = (_complaint(each, f"{path}.{key}".lstrip(".")) for key, each in value.items())
            return next(filter(None, below), "")
        case list() | tuple():
            within = (_complaint(each, f"{path}[{i}]") for i, each in enumerate(value))
            return next(filter(None, within), "")
    return f"{path} is a {type(value).__name__}, which JSON does not have"


# The codec of each type is made once from its type hints ---------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Codec:
    encode: Convert
    decode: Convert


@functools.cache
def _codec(hint: Any) -> _Codec:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_codec(hint)
    if origin is tuple:
        return _tuple_codec(arguments[0])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if typing.get_origin(arguments[1]) is tuple:
            return _mapping_codec(_codec(arguments[1]))
        return _Codec(_encode_free, _decode_mapping)
    if origin in (typing.Union, types.UnionType) and type(None) in arguments:
        (other,) = set(arguments) - {type(None)}
        inner = _codec(other)
        return _Codec(
            lambda value: None if value is None else inner.encode(value),
            lambda data: None if data is None else inner.decode(data),
        )
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Codec(lambda value: value.value, functools.partial(_decode_choice, hint))
    if origin is Literal:
        return _Codec(_same, functools.partial(_decode_literal, arguments))
    return _Codec(_same, functools.partial(_decode_scalar, hint))


def _dataclass_codec(cls: type[Any]) -> _Codec:
    hints = typing.get_type_hints(cls)
    codecs = {each.name: _codec(hints[each.name]) for each in dataclasses.fields(cls)}
    defaults: Tree = {}
    for each in dataclasses.fields(cls):
        if each.default is not dataclasses.MISSING:
            defaults[each.name] = each.default
        elif each.default_factory is not dataclasses.MISSING:
            defaults[each.name] = each.default_factory()
    missing = object()

    def encode_fields(value: Any) -> Tree:
        return {
            name: codec.encode(each)
            for name, codec in codecs.items()
            if (each := getattr(value, name)) != defaults.get(name, missing)
        }

    def decode_fields(data: Any) -> Any:
        if not isinstance(data, dict):
            raise RecordError(f"{cls.__name__} must be an object, got {data!r:.80}")
        unknown = data.keys() - codecs.keys()
        absent = codecs.keys() - defaults.keys() - data.keys()
        if unknown or absent:
            wrong = f"has unknown {sorted(unknown)}" if unknown else f"lacks {sorted(absent)}"
            raise RecordError(f"{cls.__name__} {wrong}")
        values = {}
        for name, each in data.items():
            try:
                values[name] = codecs[name].decode(each)
            except RecordError as error:
                raise RecordError(f"{cls.__name__}.{name}: {error}") from error
        return cls(**values)

    return _Codec(encode_fields, decode_fields)


def _tuple_codec(hint: Any) -> _Codec:
    item = _codec(hint)
    if hint in (int, float):  # long lists of token ids and log-probabilities
        allowed = {int} if hint is int else {int, float}

        def decode_numbers(data: Any) -> Any:
            if not isinstance(data, list) or not set(map(type, data)) <= allowed:
                raise RecordError(f"must be a list of {hint.__name__}, got {data!r:.80}")
            return tuple(data)

        return _Codec(list, decode_numbers)

    def decode_items(data: Any) -> Any:
        if not isinstance(data, list):
            raise RecordError(f"must be a list, got {data!r:.80}")
        return tuple(item.decode(each) for each in data)

    return _Codec(lambda values: [item.encode(each) for each in values], decode_items)


def _mapping_codec(item: _Codec) -> _Codec:
    """Return the codec of a mapping whose values have a codec of their own."""

    def decode_items(data: Any) -> Any:
        return {key: item.decode(each) for key, each in _decode_mapping(data).items()}

    return _Codec(
        lambda value: _encode_free({key: item.encode(each) for key, each in value.items()}),
        decode_items,
    )


def _same(value: Any) -> Any:
    return value


def _encode_free(value: Any) -> Any:
    """Return a free JSON value with plain dicts in it."""
    match value:
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise RecordError(f"the key {key!r} of {dict(value)!r:.80} must be a string")
            return {key: _encode_free(each) for key, each in value.items()}
        case list() | tuple():
            return [_encode_free(each) for each in value]
    return value


def _decode_mapping(data: Any) -> Any:
    if not isinstance(data, dict):
        raise RecordError(f"must be an object, got {data!r:.80}")
    return data


def _decode_choice(cls: type[Enum], data: Any) -> Any:
    try:
        return cls(data)
    except ValueError as error:
        raise RecordError(str(error)) from error


def _decode_literal(choices: tuple[Any, ...], data: Any) -> Any:
    if data not in choices:
        raise RecordError(f"must be one of {choices}, got {data!r:.80}")
    return data


def _decode_scalar(cls: type, data: Any) -> Any:
    allowed = (int, float) if cls is float else (cls,)
    if type(data) not in allowed:
        raise RecordError(f"must be {cls.__name__}, got {data!r:.80}")
    return data
