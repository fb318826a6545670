"""Writing a configuration as TOML (the standard library only reads it)."""

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pydantic
from pydantic_core import to_jsonable_python

from agentgym.errors import ConfigError

Tree = dict[str, Any]


def dump_toml(config: pydantic.BaseModel) -> str:
    """Return the whole configuration as TOML, which `load` turns into an equal one.

    Raises:
        ConfigError: a value that TOML cannot hold: None where it is not the default, or in a free
            mapping or list.
    """
    lines: list[str] = []
    _write_table(_tree_of(config, ()), (), lines)
    return "\n".join(lines).strip() + "\n"


def _tree_of(value: object, path: tuple[str, ...]) -> Any:
    """Return a value in the terms of TOML."""
    match value:
        case pydantic.BaseModel():
            fields, extra = type(value).model_fields, value.model_extra or {}
            known = {
                name: _tree_of(each, (*path, name))
                for name in fields
                if (each := getattr(value, name)) is not None or fields[name].default is not None
            }
            return known | {name: _tree_of(each, (*path, name)) for name, each in extra.items()}
        case Enum():
            return _tree_of(value.value, path)
        case bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _tree_of(each, (*path, str(key))) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_tree_of(each, (*path, str(i))) for i, each in enumerate(value)]
        case None:
            raise ConfigError(f"{'.'.join(path)} is None, which TOML cannot hold")
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [each.name for each in dataclasses.fields(value)]
            return {name: _tree_of(getattr(value, name), (*path, name)) for name in names}
    return _tree_of(to_jsonable_python(value), path)


def _write_table(table: Tree, path: tuple[str, ...], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    if path and (plain or not tables):
        lines.append(f"\n[{'.'.join(map(_key, path))}]")
    lines.extend(f"{_key(key)} = {_value(value)}" for key, value in plain.items())
    for key, value in tables.items():
        _write_table(value, (*path, key), lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())}}}"
    raise AssertionError(f"not in TOML's terms: {value!r}")


def _string(text: str) -> str:
    """Return a TOML basic string.

    Raises:
        ConfigError: the text has a lone surrogate, which TOML cannot hold.
    """
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigError(f"TOML cannot hold the lone surrogate in {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped)
    return f'"{escaped}"'
