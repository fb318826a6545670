"""The layers of a configuration: files, what they extend, and the command line."""

import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from agentgym.config.section import Section, section_of, takes_text
from agentgym.errors import ConfigError, UnknownName

Tree = dict[str, Any]
"""Nested tables, as TOML has them."""

UNSET = object()  # "a.b=": back to the default


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says."""

    origin: str  #: "in FILE" or "on the command line"; empty for a mapping given in Python
    tree: Tree


def file_layers(path: Path, library: Path | None) -> list[Layer]:
    """Return the layers of a file, the one that it extends first."""
    layers: list[Layer] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        if following in seen:
            circle = " -> ".join(p.name for p in [*seen, following])
            raise ConfigError(f"`extends` goes in a circle: {circle}")
        seen.append(following)
        tree = _read_toml(following)
        base = tree.pop("extends", None)
        layers.insert(0, Layer(f"in {following}", tree))
        following = None if base is None else _extended(following, base, library)
    return layers


def _extended(path: Path, base: object, library: Path | None) -> Path:
    """Return the file that `extends = base` means: one beside `path`, or one of the library."""
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends must be the name of a file, got {base!r}")
    name = base if base.endswith(".toml") else f"{base}.toml"
    folders = [path.parent] if library is None else [path.parent, library]
    found = [folder / name for folder in folders if (folder / name).is_file()]
    if not found:
        known = {each.stem for folder in folders for each in folder.glob("*.toml")}
        raise UnknownName("file to extend", base, known, f"for {path}")
    return next((each for each in found if each != path), path)


def _read_toml(path: Path) -> Tree:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def override_layer(model: type[Section], overrides: Sequence[str]) -> Layer:
    """Return what the command line says, as one layer: the order of its words does not matter."""
    layer: Tree = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(re.fullmatch(r"[\w/-]+", part) for part in parts):
            raise ConfigError(f"{text!r} is not of the form key=value or section.key=value")
        branch: Tree = {}
        leaf = branch
        for part in parts[:-1]:
            leaf = leaf.setdefault(part, {})
        leaf[parts[-1]] = _override_value(text, value.strip(), takes_text(model, parts))
        layer = merge(layer, branch, model, clears=False)
    return Layer("on the command line", layer)


def _override_value(text: str, value: str, wants_text: bool) -> object:
    if not value:
        return UNSET
    quoted = value[0] in "\"'[{"
    if not quoted and (wants_text or "#" in value):  # TOML would take # for a comment
        return value
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        if quoted:
            raise ConfigError(f"{text!r}: the value is not valid TOML: {error}") from error
        return value
    found = parsed["value"]
    plain = isinstance(found, bool | int | float | str | list | dict)
    return found if len(parsed) == 1 and plain else value


def merge(base: Tree, over: Tree, model: type[Section] | None, *, clears: bool = True) -> Tree:
    """Return `base` with the keys of `over` put over it, as `model`'s shorthands ask."""
    merged = dict(base)
    for key, value in over.items():
        info = model.model_fields.get(key) if model else None
        section = section_of(info.annotation) if info else None
        short = section.shorthand if section else ""
        below = merged.get(key)
        if short and isinstance(value, str):
            value = {short: value}
        if short and isinstance(below, str):
            below = {short: below}
        if isinstance(value, dict) and isinstance(below, dict):
            if clears and section and section.shorthand_clears:
                other = short in value and value[short] != below.get(short)
                below = {} if other else below
            if clears and section and any(each in value for each in section.alternatives):
                below = {k: v for k, v in below.items() if k not in section.alternatives}
            merged[key] = merge(below, value, section, clears=clears)
        else:
            merged[key] = value
    return merged


def without_unset(tree: Tree) -> Tree:
    """Return a tree without the keys that are to have their defaults."""
    return {
        key: without_unset(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not UNSET
    }


def with_defaults(tree: Tree, model: type[Section]) -> Tree:
    """Return a tree whose sections begin with what the model has in their place.

    A field `optimizer: Optimizer = Optimizer(lr=1e-3)` keeps that lr if another key is given.
    """
    filled = dict(tree)
    for name, info in model.model_fields.items():
        section, said = section_of(info.annotation), tree.get(name)
        if section is None or said is None:
            continue
        default = info.get_default(call_default_factory=True)
        if isinstance(default, Section):
            said = merge({name: _plain_value(default)}, {name: said}, model)[name]
        filled[name] = with_defaults(said, section) if isinstance(said, dict) else said
    return filled


def plain(value: Mapping[str, object]) -> Tree:
    """Return a mapping given in Python in the form that a file would have had."""
    return typing.cast("Tree", _plain_value(dict(value)))


def _plain_value(value: object) -> object:
    match value:
        case Mapping():
            return {str(key): _plain_value(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain_value(each) for each in value]
        case pydantic.BaseModel():
            said = {name: getattr(value, name) for name in type(value).model_fields}
            return _plain_value(said | (value.model_extra or {}))
    return value
