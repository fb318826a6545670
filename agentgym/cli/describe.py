"""Docstrings and signatures as text for people."""

import inspect
import re
import types
import typing
from typing import Any, Literal, Union

WRAPPED = 72
"""A line longer than this was probably wrapped, so the next one continues its sentence."""


def split_doc(found: Any) -> tuple[str, dict[str, str]]:
    """Return a docstring without examples and argument lists, and what it says of each argument."""
    own = found.__doc__ if isinstance(found, type) else None
    text = inspect.cleandoc(own or inspect.getdoc(found) or "(no description)")
    arguments: dict[str, str] = {}
    kept = []
    after_example = False
    for block in re.split(r"\n\s*\n", text):
        heading, _, rest = block.partition("\n")
        is_example = heading.lstrip().startswith(">>>")
        if is_example or (after_example and not heading.endswith(":")):
            pass  # what follows an example explains it
        elif heading.strip() in ("Args:", "Attributes:"):
            arguments |= _entries(rest)
        elif block.strip() and heading.strip() not in ("Raises:", "Returns:"):
            kept.append(reflow(block.strip("\n")))
        after_example = is_example
    return "\n\n".join(kept), arguments


def reflow(text: str) -> str:
    """Join the lines of wrapped sentences.

    >>> reflow("a" * 75 + "\\nand so on.\\nNext.").count("\\n")
    1
    """
    lines: list[str] = []
    last = ""
    for line in text.split("\n"):
        labelled = re.match(r"[A-Z][\w -]*( \([\d-]+\))?: ", line)
        continues = len(last) > WRAPPED and not line.startswith(" ") and not labelled
        if lines and continues:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        last = line
    return "\n".join(lines)


def parameters(found: Any) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every parameter of a class or function."""
    if not callable(found):
        return []
    said = split_doc(found)[1]
    if isinstance(found, type):
        said = split_doc(typing.cast("Any", found).__init__)[1] | said
    hints = _hints(found)
    rows = []
    for name, p in inspect.signature(found).parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        default = "required" if p.default is p.empty else text_of(p.default)
        kind = type_text(hints.get(name, p.annotation)) if p.annotation is not p.empty else ""
        rows.append((name, default, meaning(said.get(name, ""), kind)))
    return rows


def meaning(said: str, kind: str) -> str:
    """Return a type and what is said of it in one text."""
    return f"{said} ({kind})" if said and kind else said or kind


def type_text(annotation: Any) -> str:
    """Return a type for people.

    >>> type_text(Literal["a", "b"]), type_text(int | None), type_text(dict[str, typing.Any])
    ('a | b', 'int | none', 'dict[str, Any]')
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(text_of(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(map(type_text, arguments))
    text = (
        annotation.__name__
        if isinstance(annotation, type) and not arguments
        else annotation
        if isinstance(annotation, str)
        else str(annotation)
    )
    return re.sub(r"\b[a-z_]\w*\.(?=\w)", "", text)


def text_of(value: Any) -> str:
    """Return a value as it would be written on the command line.

    >>> text_of(True), text_of(None), text_of({"a": 1}), text_of("")
    ('true', 'none', 'a=1', '""')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}={text_of(v)}" for k, v in value.items()) or "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    return str(value) if value != "" else '""'


def _entries(block: str) -> dict[str, str]:
    """Return the `name: text` entries of an argument list; two names may share one."""
    found: dict[str, str] = {}
    current: list[str] = []
    first_indent = len(block) - len(block.lstrip())
    for line in block.split("\n"):
        indent, stripped = len(line) - len(line.lstrip()), line.strip()
        match = re.match(r"([\w, ]+): (.*)", stripped) if indent <= first_indent else None
        if match:
            current = [name.strip() for name in match[1].split(",")]
            found |= dict.fromkeys(current, match[2])
        else:
            found |= {name: f"{found[name]} {stripped}" for name in current}
    return {name: text.rstrip(".") for name, text in found.items()}


def _hints(found: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(
            typing.cast("Any", found).__init__ if isinstance(found, type) else found
        )
    except (NameError, TypeError, AttributeError):
        return {}
