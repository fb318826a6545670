"""Configuration: TOML files and `key=value` overrides, checked against pydantic models.

Only the mechanism lives here; each part keeps its models (subclasses of `Section`) next to its
code. A configuration is made of layers: the file that `extends` names, the file itself, what was
said on the command line. Later layers win, key by key.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic import PydanticUserError

from agentgym.config.layers import (
    Layer,
    Tree,
    file_layers,
    merge,
    override_layer,
    plain,
    with_defaults,
    without_unset,
)
from agentgym.config.problems import validate
from agentgym.config.section import Section, describe
from agentgym.config.toml import dump_toml
from agentgym.errors import ConfigError

__all__ = ["Section", "build", "describe", "dump_toml", "load"]

S = TypeVar("S", bound=Section)
T = TypeVar("T")


def load(
    model: type[S],
    source: Path | Mapping[str, object],
    overrides: Sequence[str] = (),
    *,
    library: Path | None = None,
) -> S:
    """Read a configuration from a TOML file or a mapping, and apply overrides to it.

    Args:
        model: what to check it against.
        source: a TOML file; its `extends = "other"` names the file to start from, of the same
            folder or of `library`.
        overrides: `a.b=value`, the value in TOML; a bare word is a string; nothing after the `=`
            returns the key to its default.
        library: a folder of files that any file may extend.

    Raises:
        UnknownName: a key that the model does not have; names the nearest one.
        ConfigError: a file that cannot be read or is not TOML, a wrong type or a bad value; names
            the key, its value, what was expected, and where the value came from.
    """
    layers = (
        file_layers(source, library) if isinstance(source, Path) else [Layer("", plain(source))]
    )
    layers.append(override_layer(model, overrides))
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer.tree, model)
    return validate(model, with_defaults(without_unset(tree), model), layers, prefix=())


def build(
    cls: type[T],
    params: Mapping[str, object],
    *,
    where: str,
    given: Mapping[str, object] | None = None,
) -> T:
    """Make an instance of a dataclass from checked parameters.

    Args:
        cls: a dataclass; its fields are the parameters.
        params: their values, as a configuration file has them.
        where: the dotted key of the section that they come from, for messages.
        given: fields that are no parameters, with their values.

    Raises:
        UnknownName, ConfigError: as `load` does.
    """
    given = given or {}
    model = _model_of(cls, frozenset(given))  # type: ignore[arg-type]  # a class is hashable
    prefix = tuple(where.split(".")) if where else ()
    checked = validate(model, plain(params), [], prefix)
    try:
        return cls(**{name: getattr(checked, name) for name in model.model_fields}, **given)
    except (ValueError, TypeError) as error:  # from the dataclass's own __post_init__
        raise ConfigError(f"{where}: {error}") from error


@functools.cache
def _model_of(cls: type, given: frozenset[str]) -> type[Section]:
    """Return a model with the fields of a dataclass, but for those that are given."""
    if not dataclasses.is_dataclass(cls):
        raise ConfigError(f"{cls.__module__}:{cls.__qualname__} must be a dataclass")
    try:
        return _with_fields_of(cls, typing.get_type_hints(cls, include_extras=True), given)
    except (NameError, TypeError, PydanticUserError) as error:
        raise ConfigError(
            f"the parameters of {cls.__module__}:{cls.__qualname__} cannot be read from a "
            f"configuration: {error}"
        ) from error


def _with_fields_of(
    cls: type[Any], hints: Mapping[str, Any], given: frozenset[str]
) -> type[Section]:
    fields: dict[str, Any] = {}
    for each in dataclasses.fields(cls):
        if not each.init or each.name in given:
            continue
        if each.default is not dataclasses.MISSING:
            fields[each.name] = (hints[each.name], each.default)
        elif each.default_factory is not dataclasses.MISSING:
            factory = pydantic.Field(default_factory=each.default_factory)
            fields[each.name] = (hints[each.name], factory)
        else:
            fields[each.name] = (hints[each.name], ...)
    return pydantic.create_model(cls.__name__, __base__=Section, **fields)
