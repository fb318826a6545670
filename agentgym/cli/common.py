"""What the verbs share: output, names that may be paths, options in the form key=value."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agentgym.errors import ConfigError, UnknownName, UserError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from agentgym.config import Section
    from agentgym.env import TextEnv
    from agentgym.types import JSON

CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
CONTROL |= {0x7F: 0x2421} | {code: 0xFFFD for code in range(0x80, 0xA0)}
"""Control characters, by the signs that stand for them."""


@functools.cache
def console() -> "Console":
    """Return the console for results."""
    from rich.console import Console

    return Console(highlight=False)


def show(*things: "RenderableType", style: str = "") -> None:
    """Print text as it is, or anything that rich can draw."""
    from rich.text import Text

    for thing in things:
        drawn = Text(printable(thing)) if isinstance(thing, str) else thing
        console().print(drawn, style=style or None)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say in a terminal what takes a moment, as long as it takes."""
    if not console().is_terminal:
        yield
        return
    with console().status(f"{what} ..."):
        yield


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Draw a progress bar in a terminal, nothing elsewhere; yields what counts one up."""
    if not console().is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def printable(text: str) -> str:
    """Return text in which nothing can steer the terminal or fail to be encoded.

    >>> printable("a\\tb\\x1b[2J") == "a\\tb\\u241b[2J"
    True
    """
    shown = text.translate(CONTROL)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Print an error and end the process."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), printable(message))
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)
    sys.exit(code)


def grid(rows: Sequence[Sequence[object]], *, styles: Sequence[str] = ()) -> "RenderableType":
    """Return rows of texts in columns; only the last column is ever wrapped."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    width = max(map(len, rows), default=0)
    table = Table.grid(padding=(0, 2))
    for k in range(width):
        table.add_column(
            no_wrap=k < width - 1, style=styles[k] if k < len(styles) else "", overflow="fold"
        )
    for row in rows:
        table.add_row(
            *[cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row]
        )
    return Padding(table, (0, 0, 0, 2))


def title(text: str) -> "RenderableType":
    """Return a heading."""
    from rich.text import Text

    return Text(text, style="bold")


def target_of(name: str) -> str:
    """Return the name behind what the user wrote, which may be the path of a Python file.

    `my_game.py` becomes `my_game:MyGame`, and its folder importable.

    Raises:
        UserError: no such file, or it does not say which object is meant.
    """
    path, _, attribute = name.partition(":")
    if not (path.endswith(".py") or "/" in path) or "://" in name:
        return name
    file = Path(path)
    if not file.is_file():
        raise UserError(f"there is no file {path!r}")
    module_name = file.stem
    if not module_name.isidentifier():
        raise UserError(f"{file.name} cannot be imported: {module_name!r} is no Python name")
    sys.path.insert(0, str(file.resolve().parent))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if _is_elsewhere(module_name, file):
        raise UserError(
            f"{path} is shadowed by {module.__file__ or 'a built-in module'}; give it another name"
        )
    return f"{module_name}:{attribute or _only_export(module, path)}"


def env_options(name: str, pairs: Sequence[str]) -> "dict[str, JSON]":
    """Return the constructor options of an environment from `key=value` texts, checked.

    Raises:
        UnknownName: no such environment or option; names the nearest.
        ConfigError: a value of another type.
    """
    from agentgym.config import load

    if not pairs:
        return {}
    model = options_model(name)
    for pair in pairs:
        key = pair.partition("=")[0].strip()
        if key not in model.model_fields:
            raise UnknownName(f"option of {name}", key, model.model_fields)
    options = load(model, {}, [*pairs])
    return {key: getattr(options, key) for key in options.model_fields_set}


def options_model(name: str) -> "type[Section]":
    """Return a model of the constructor options of an environment."""
    import typing

    import pydantic

    from agentgym.config import Section
    from agentgym.env import env_class, option_names

    cls = env_class(name)
    parameters = inspect.signature(cls).parameters
    try:
        hints = typing.get_type_hints(cls.__init__)
    except (NameError, TypeError):
        hints = {}
    fields: dict[str, Any] = {}
    for key in option_names(cls):
        default = parameters[key].default
        required = default is inspect.Parameter.empty
        fields[key] = (hints.get(key, Any), ... if required else default)
    if any(value[1] is ... for value in fields.values()):
        fields = {k: (v[0], None if v[1] is ... else v[1]) for k, v in fields.items()}
    made: type[Section] = pydantic.create_model(
        f"options of {name}", __base__=_unvalidated_defaults(Section), **fields
    )
    return made


def make_env(
    name: str, pairs: Sequence[str], preset: str | None
) -> "tuple[TextEnv, dict[str, JSON]]":
    """Make an environment as the command line says; also return what `make` was given.

    Raises:
        UserError: whatever is wrong with the name or its options.
    """
    from agentgym.env import env_class, make

    options: dict[str, Any] = env_options(name, pairs)
    if preset is not None:
        options = {"preset": preset, **options}
    cls = env_class(name)
    given = {*options, *cls.presets.get(preset or "", {})}
    for key, parameter in inspect.signature(cls).parameters.items():
        free = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not free and key not in given:
            raise ConfigError(f"{name} needs its option {key}: --option {key}=...")
    return make(name, **options), options


def percent(share: float) -> str:
    """Return a share as text.

    >>> percent(0.123)
    '12.3%'
    """
    return f"{share:.1%}"


def seconds(value: float) -> str:
    """Return a duration as text.

    >>> seconds(0.0123), seconds(5.25), seconds(75), seconds(4000)
    ('12 ms', '5.2 s', '1 min 15 s', '1 h 6 min')
    """
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _unvalidated_defaults(section: "type[Section]") -> "type[Section]":
    """Return a base that takes the author's defaults as they are."""
    from pydantic import ConfigDict

    class Options(section):  # type: ignore[misc,valid-type]
        """Options of an environment."""

        model_config = ConfigDict(validate_default=False, arbitrary_types_allowed=True)

    return Options


def _is_elsewhere(module_name: str, file: Path) -> bool:
    """Whether a module of that name is loaded, but from another file."""
    module = sys.modules.get(module_name)
    if module is None:
        return False
    found = getattr(module, "__file__", None)
    return found is None or Path(found).resolve() != file.resolve()


def _only_export(module: Any, path: str) -> str:
    """Return the one name that a file is about: of `__all__`, or the one class of its own."""
    exported = list(getattr(module, "__all__", []))
    if len(exported) == 1:
        return str(exported[0])
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    candidates = [name for name in own if isinstance(getattr(module, name), type)] or own
    if len(candidates) == 1 and not exported:
        return str(candidates[0])
    raise UserError(
        f"{path} has {len(candidates or exported)} candidates "
        f"({', '.join(candidates or exported) or 'none'}); say which: {path}:NAME, or list it "
        "alone in __all__"
    )
