"""Names of things: environments, tools, credit schemes, losses, annotators, backends, suites.

A name is found in one of three ways, in this order:
  1. `package.module:Attribute` works anywhere a name does;
  2. the module of that name in agentgym's folder of that kind;
  3. an entry point of another package in the group `agentgym.<kind>`.
The object behind a module is the single name in its `__all__`. Listing imports nothing: summaries
and versions are read from the source text.
"""

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import ConfigError, UnknownName

FOLDERS = {
    "envs": "envs",
    "tools": "tools",
    "credit": "trainers/credit",
    "losses": "trainers/losses",
    "annotate": "trainers/annotate",
    "backends": "backends",
    "suites": "suites",
}
"""The kinds, and the folder of each inside the package."""

SINGULAR = {
    "envs": "environment",
    "tools": "tool",
    "credit": "credit scheme",
    "losses": "loss",
    "annotate": "annotator",
    "backends": "backend",
    "suites": "suite",
    "agents": "agent",
    "chats": "language model",
}

NOT_LISTED = {"base", "common", "mcp", "sandbox"}
"""Modules that are no part of their kind themselves, like every name that begins with `_`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of one kind. `target` is what `load` imports; `origin` is the package it is from."""

    kind: str
    name: str
    target: str
    origin: str
    summary: str = ""
    version: int = 0
    problem: str = ""  #: why it cannot be used, as far as can be told without importing it


def entries(kind: str) -> dict[str, Entry]:
    """Return every entry of a kind by name, sorted; broken plugins carry a `problem`."""
    found = dict(_in_tree(_known_kind(kind)))
    for point in importlib.metadata.entry_points(group=f"agentgym.{kind}"):
        origin = point.dist.name if point.dist else "?"
        if point.name in found:
            key = f"{point.name} ({origin})"
            problem = f"the name {point.name!r} is taken; use {point.value!r} instead"
            found[key] = Entry(kind, key, point.value, origin, problem=problem)
        else:
            found[point.name] = _describe(kind, point.name, point.value, origin)
    return dict(sorted(found.items()))


def load(kind: str, name: str) -> object:
    """Import and return the object that a name stands for.

    Raises:
        UnknownName: no such name; the message has the nearest.
        ConfigError: the name exists but importing it fails; says how.
    """
    target = name if ":" in name else _target(kind, name)
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the code of others may raise anything when it is imported
        said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the {SINGULAR[kind]} {name!r} cannot be imported: {said}{_extra_hint(error)}"
        ) from error
    if not attribute:
        exported = list(getattr(module, "__all__", []))
        if len(exported) != 1:
            raise ConfigError(
                f"{module_name} must have exactly one name in __all__, the {SINGULAR[kind]}; "
                f"it has {exported}"
            )
        attribute = exported[0]
    if not hasattr(module, attribute):
        known = [n for n in vars(module) if not n.startswith("_")]
        raise UnknownName(f"attribute of {module_name}", attribute, known)
    found: object = getattr(module, attribute)
    return found


def _target(kind: str, name: str) -> str:
    in_tree = _in_tree(_known_kind(kind))
    if name in in_tree:
        return in_tree[name].target
    points = importlib.metadata.entry_points(group=f"agentgym.{kind}")
    targets = {point.name: point.value for point in points}
    if name not in targets:
        raise UnknownName(SINGULAR[kind], name, [*in_tree, *targets])
    return targets[name]


def _known_kind(kind: str) -> str:
    if kind not in FOLDERS:
        raise UnknownName("kind", kind, FOLDERS)
    return kind


@functools.cache
def _in_tree(kind: str) -> dict[str, Entry]:
    folder = Path(__file__).parent / FOLDERS[kind]
    found = {}
    for path in sorted(folder.glob("[!_]*.py")) + sorted(folder.glob("*/__init__.py")):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        if name.startswith("_") or name in NOT_LISTED:
            continue
        module = f"agentgym.{FOLDERS[kind].replace('/', '.')}.{name}"
        found[name] = Entry(kind, name, module, "agentgym", *_read(path, None))
    return found


def _describe(kind: str, name: str, target: str, origin: str) -> Entry:
    module, _, attribute = target.partition(":")
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
        if spec is None or spec.origin is None:
            return Entry(kind, name, target, origin, problem=f"no module {module!r}")
        path = Path(spec.origin)
        for part in module.split(".")[1:]:
            path = path.parent / part / "__init__.py"
            path = path if path.exists() else path.parent.with_suffix(".py")
        return Entry(kind, name, target, origin, *_read(path, attribute or None))
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        return Entry(kind, name, target, origin, problem=f"{type(error).__name__}: {error}")


def _read(path: Path, attribute: str | None) -> tuple[str, int]:
    """Return summary and version of the object that a source file exports, without running it."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=[only])):
                attribute = attribute or ast.literal_eval(only)
    summary, version = ast.get_docstring(tree) or "", 0
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            summary = ast.get_docstring(node) or summary
            for statement in node.body:
                match statement:
                    case (
                        ast.Assign(targets=[ast.Name(id="version")], value=ast.Constant(int(v)))
                        | ast.AnnAssign(target=ast.Name(id="version"), value=ast.Constant(int(v)))
                    ):
                        version = v
    return summary.strip().partition("\n")[0], version


def _extra_hint(error: Exception) -> str:
    extras = {
        "torch": "train",
        "transformers": "train",
        "safetensors": "train",
        "alfworld": "alfworld",
        "fast_downward": "alfworld",
        "textworld": "textworld",
        "bm25s": "search",
        "docker": "swe",
        "jericho": "textworld",
    }
    missing = (error.name or "") if isinstance(error, ImportError) else ""
    extra = extras.get(missing.partition(".")[0])
    return f"; install the extra with: pip install 'agentgym[{extra}]'" if extra else ""
