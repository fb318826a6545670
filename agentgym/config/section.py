"""The base of every configuration model, and what can be asked of such a model."""

import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Union

import pydantic
from pydantic import ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticUndefined


def _strict_scalars(schema: object) -> object:
    """Return a core schema in which no number, string or truth value is made from another type."""
    if isinstance(schema, list):
        return [_strict_scalars(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    untouched = ("default", "metadata", "serialization", "expected")
    copy = {k: v if k in untouched else _strict_scalars(v) for k, v in schema.items()}
    if copy.get("type") in ("int", "float", "bool", "str"):
        copy["strict"] = True
    return copy


class Section(pydantic.BaseModel):
    """Base of every configuration model: unknown keys are errors, instances are frozen.

    Numbers, strings and truth values are taken as they are (`"3"` is not a number); lists become
    tuples, and strings paths or enum members, where a field says so. A docstring under a field
    documents it.

    Class data:
        shorthand: the field that a plain string stands for: with `shorthand = "name"`,
            `credit = "grpo"` means `credit.name = "grpo"`.
        shorthand_clears: whether another value of that field drops what an earlier layer said in
            this section, because those keys belonged to the former value.
        alternatives: fields of which one has a value at most: a layer that names one drops what
            an earlier one said of the others.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
        validate_default=True,
    )
    shorthand: ClassVar[str] = ""
    shorthand_clears: ClassVar[bool] = False
    alternatives: ClassVar[tuple[str, ...]] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _expand(cls, data: object) -> object:
        return {cls.shorthand: data} if cls.shorthand and isinstance(data, str) else data

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[pydantic.BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return typing.cast("CoreSchema", _strict_scalars(handler(source)))


def describe(
    model: type[Section], prefix: str = "", within: Section | None = None
) -> Iterator[tuple[str, str, object, str]]:
    """Yield dotted key, type, default and documentation of every field; required: `...`.

    `within` is an instance whose values are the defaults instead of the model's own.
    """
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        default = ... if default is PydanticUndefined else default
        if within is not None:
            default = getattr(within, name)
        section = section_of(info.annotation)
        if section is not None:
            below = default if isinstance(default, Section) else None
            yield from describe(section, f"{prefix}{name}.", below)
        else:
            yield f"{prefix}{name}", _type_name(info.annotation), default, info.description or ""


def section_of(annotation: object) -> type[Section] | None:
    """Return the single model behind an annotation, if it is one (perhaps optional)."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return section_of(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        members = [a for a in typing.get_args(annotation) if a is not type(None)]
        return section_of(members[0]) if len(members) == 1 else None
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None


def field_section(model: type[Section] | None, name: str) -> type[Section] | None:
    """Return the model behind a field of a model, or behind the items of a list there."""
    info = model.model_fields.get(name) if model else None
    annotation = info.annotation if info else None
    if typing.get_origin(annotation) in (list, tuple):
        annotation = typing.get_args(annotation)[0]
    return section_of(annotation)


def takes_text(model: type[Section], parts: Sequence[str]) -> bool:
    """Whether the key at a path holds a string or a path, so that `7` there is no number."""
    section: type[Section] | None = model
    for part in parts[:-1]:
        section = field_section(section, part)
    info = section.model_fields.get(parts[-1]) if section else None
    below = section_of(info.annotation) if info else None
    if below is not None:
        return bool(below.shorthand) and takes_text(below, [below.shorthand])
    if info is None:
        return False
    members = typing.get_args(info.annotation) or (info.annotation,)
    return set(members) <= {str, Path, type(None)}


def _type_name(annotation: object) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b[a-z_]\w*\.(?=\w)", "", name)
