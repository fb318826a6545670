"""`agentgym list`: everything that has a name."""

from typing import Annotated

import typer

KINDS = {
    "envs": "Environments",
    "recipes": "Recipes",
    "credit": "Credit schemes",
    "losses": "Losses",
    "annotate": "Annotators",
    "backends": "Backends",
    "tools": "Tools",
    "suites": "Suites",
}

OTHER_WORDS = {
    "env": "envs",
    "environment": "envs",
    "environments": "envs",
    "recipe": "recipes",
    "loss": "losses",
    "annotator": "annotate",
    "annotators": "annotate",
    "backend": "backends",
    "tool": "tools",
    "suite": "suites",
}


def command(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="Only these: envs, recipes, credit, losses, annotate, backends, tools.",
        ),
    ] = "",
) -> None:
    """List environments, recipes, credit schemes, ..."""
    from agentgym.cli.common import show, title
    from agentgym.errors import UnknownName

    kind = OTHER_WORDS.get(kind, kind)
    if kind and kind not in KINDS:
        raise UnknownName("kind of thing", kind, KINDS)
    first = True
    for one in [kind] if kind else KINDS:
        rows = _rows(one)
        if not rows and not kind:
            continue
        if not first:
            show("")
        first = False
        show(title(KINDS[one]))
        _show_rows(rows)
    if not kind:
        show("")
        show("agentgym info NAME says more about one.", style="dim")


def _rows(kind: str) -> list[tuple[str, str, str, str]]:
    """Return name, summary, the package it is from, and what is wrong with it."""
    from agentgym import registry

    if kind == "recipes":
        import tomllib

        from agentgym.trainers.config import recipes

        said = {name: tomllib.loads(path.read_text("utf-8")) for name, path in recipes().items()}
        return [(n, str(r.get("description", "")), "agentgym", "") for n, r in said.items()]
    found = registry.entries(kind).values()
    return [(e.name, e.summary, e.origin, e.problem) for e in found]


def _show_rows(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.text import Text

    from agentgym.cli.common import grid, show

    if not rows:
        show("  (none)", style="dim")
        return
    lines = []
    for name, summary, origin, problem in rows:
        text = Text(summary)
        if origin != "agentgym":
            text.append(f" (from {origin})" if summary else f"(from {origin})", style="dim")
        if problem:
            text = Text(f"cannot be used: {problem}", style="yellow")
        lines.append((Text(name, style="cyan"), text))
    show(grid(lines))
