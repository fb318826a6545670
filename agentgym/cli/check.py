"""`agentgym check`: a conformance kit run over one part."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import EnvOptions, Preset

if TYPE_CHECKING:
    from agentgym.testing import Report

KINDS = ("envs", "credit", "losses", "backends", "tools")


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name, my_pkg.my_game:MyGame, or my_game.py.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="envs, credit, losses, backends or tools; else it is worked out."
        ),
    ] = "",
    preset: Preset = None,
    option: EnvOptions = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="How many seeds to try.")] = 3,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what passed too.")] = False,
) -> None:
    """Try out all that an environment promises.

    The same for credit schemes, losses, backends and tools. Exit code 1 if something fails.
    """
    from agentgym.cli.common import target_of

    target = target_of(name)
    reports = [_report(each, target, preset, option or [], seeds) for each in _kinds(target, kind)]
    for report in reports:
        _show(report, verbose)
    if not all(reports):
        raise typer.Exit(1)


def _kinds(target: str, kind: str) -> list[str]:
    """Return the kinds to check it as."""
    from agentgym import registry
    from agentgym.cli.list_names import OTHER_WORDS
    from agentgym.errors import UnknownName

    kind = OTHER_WORDS.get(kind, kind)
    if kind and kind not in KINDS:
        raise UnknownName("kind of thing", kind, KINDS)
    if kind:
        return [kind]
    if ":" in target:
        return [_kind_of(registry.load("envs", target), target)]
    named = {each: registry.entries(each) for each in KINDS}
    found = [each for each in KINDS if target in named[each]]
    if not found:
        known = sorted({name for entries in named.values() for name in entries})
        raise UnknownName("part", target, known)
    return found


def _kind_of(found: Any, target: str) -> str:
    """Work out what an object is meant to be."""
    import inspect

    from agentgym.env import TextEnv
    from agentgym.errors import UserError

    cls = found if isinstance(found, type) else type(found)
    if issubclass(cls, TextEnv):
        return "envs"
    if hasattr(cls, "generate"):
        return "backends"
    if inspect.isfunction(found):
        return "tools"
    if hasattr(cls, "__call__") and hasattr(cls, "needs"):  # noqa: B004 - of instances
        takes = inspect.signature(cls.__call__).parameters
        return "losses" if any("logprobs" in name for name in takes) else "credit"
    if any("__call__" in vars(each) for each in cls.__mro__):
        return "tools"
    raise UserError(
        f"{target} is a {cls.__name__}, and it cannot be seen what it is meant to be; an "
        "environment subclasses agentgym.TextEnv; otherwise say --kind"
    )


def _report(kind: str, target: str, preset: str | None, pairs: list[str], seeds: int) -> "Report":
    from agentgym import testing
    from agentgym.cli.common import env_options
    from agentgym.errors import UserError

    if kind == "envs":
        options = env_options(target, pairs)
        return testing.check_env(target, options=options, preset=preset, seeds=range(seeds))
    if preset is not None or pairs:
        raise UserError("--preset and --option are for environments")
    match kind:
        case "credit":
            return testing.check_credit(target)
        case "losses":
            return testing.check_loss(target)
        case "tools":
            return testing.check_tool(target)
        case _:
            return testing.check_backend(_backend_factory(target))


def _backend_factory(target: str) -> Any:
    """Return what makes the backend, if it can be made without arguments."""
    import inspect

    from agentgym import registry
    from agentgym.errors import UserError

    cls: Any = registry.load("backends", target)
    needed = [
        name
        for name, p in inspect.signature(cls).parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise UserError(
            f"the backend {target} needs {', '.join(needed)}; write a test that calls "
            f"agentgym.testing.check_backend(lambda: ...) instead"
        )
    return cls


def _show(report: "Report", verbose: bool) -> None:
    from rich.text import Text

    from agentgym.cli.common import grid, printable, show, title

    marks = {
        "passed": Text("ok", style="green"),
        "failed": Text("FAILED", style="bold red"),
        "warning": Text("warning", style="yellow"),
        "not applicable": Text("-", style="dim"),
    }
    show(title(f"{report.kind} {report.name}"))
    rows = []
    for check in report.checks:
        text = Text(check.name)
        if check.detail:
            text.append(
                f": {printable(check.detail)}", style="dim" if check.status[0] == "n" else ""
            )
        if verbose or check.status in ("failed", "warning"):
            rows.append((marks[check.status], text))
    if rows:
        show(grid(rows))
    verdict = Text(
        "passes: " if report else "fails: ", style="bold green" if report else "bold red"
    )
    show(verdict.append(report.counts(), style="not bold"))
